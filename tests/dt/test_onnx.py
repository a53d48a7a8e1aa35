"""ONNX export preserves actions."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.utils.errors import InputError
from dt.formats import onnx
from dt.models.decision import DecisionConfig
from dt.models.gpt import TransformerConfig
from dt.models.history import HistoryModel
from dt.policy import load
from dt.training.loop import train
from tests.support.small_models import CONTINUOUS, DISCRETE, make_episodes, small_recipe

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of ONNX and its imports


def test_planners_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got trajectory, a planner; planners cannot be exported"):
        onnx.save(train(make_episodes(), small_recipe("trajectory", steps=1)), tmp_path / "model.onnx")


def _padded(array: np.ndarray, steps: int) -> np.ndarray:
    """Pad with leading zeros to ``steps`` steps."""
    return np.concatenate([np.zeros((steps - len(array), *array.shape[1:]), array.dtype), array])


@pytest.mark.parametrize(
    ("env_id", "kind", "config"),
    [
        (CONTINUOUS, "decision", None),
        pytest.param(
            DISCRETE,
            "decision",
            DecisionConfig(5, TransformerConfig(2, 2, 16), attention_window=3),
            marks=pytest.mark.slow,
        ),
        (CONTINUOUS, "reinformer", None),
    ],
    ids=["continuous", "discrete and sliding", "reinformer"],
)
def test_onnx_actions_match(
    env_id: str,
    kind: str,
    config: DecisionConfig | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compare on recorded histories; a Reinformer receives its own earlier predicted returns."""
    import onnxruntime

    recipe = small_recipe(kind, steps=30)
    checkpoint = train(make_episodes(env_id), replace(recipe, model=config or recipe.model))
    monkeypatch.setattr(logging.getLogger("torch.onnx"), "handlers", [caplog.handler])
    onnx.save(checkpoint, tmp_path / "model.onnx")
    assert not [record for record in caplog.records if record.name.startswith("torch.onnx")]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert isinstance(checkpoint.model, HistoryModel)
    target, context = 300.0, checkpoint.model.context
    episodes = make_backend(env_id).play(load(checkpoint, target), 3, seed=0)
    for episode in episodes:
        targets = target - np.concatenate([[0.0], np.cumsum(episode.rewards[:-1], dtype=np.float64)])
        if kind == "reinformer":
            targets[:] = 0.0
        for step in range(len(episode.rewards)):
            rows = slice(max(step + 1 - context, 0), step + 1)
            actions = episode.actions[rows].copy()
            actions[-1] = 0
            steps = np.arange(rows.start, rows.stop)
            fields: tuple[np.ndarray, ...] = (
                episode.observations[rows],
                actions,
                targets[rows],
                steps,
                np.ones(len(steps), bool),
            )
            inputs = {
                name: _padded(field, context)[None] for name, field in zip(onnx.INPUTS, fields, strict=True)
            }
            action, predicted_return = session.run(None, inputs)
            np.testing.assert_allclose(action[0], episode.actions[step], atol=1e-5)
            if kind == "reinformer":
                targets[step] = predicted_return[0]
            assert predicted_return[0] == pytest.approx(targets[step], abs=1e-4)
