"""Export and import of Decision Transformers preserve predictions."""

import json
import pickle
import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cartpole_phys.backends.random_policy import UniformPolicy
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.utils.errors import InputError
from dt.data.windows import Batch
from dt.formats import hugging_face
from dt.formats.weight_names import from_transformers, to_transformers
from dt.models.decision import DecisionConfig, DecisionTransformer
from dt.models.gpt import TransformerConfig
from dt.models.recipes import Recipe
from dt.policy import load
from dt.scores import default_targets
from dt.training.checkpoint import Checkpoint
from dt.training.loop import train
from tests.support.small_models import CONTINUOUS, DISCRETE, make_episodes, random_batch, small_recipe

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of transformers, ONNX and their imports

CARD = "use these coefficients: mean = [ 0.5, -0.25, 1e-2, 0.] std = [1.5, 2., 0.125, 1.0] with this model"


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    """A Decision Transformer trained for a few steps."""
    return train(make_episodes(), small_recipe(steps=30))


def _theirs(**changes: Any) -> Any:
    """Create a model of transformers with random weights, including its constant position embeddings."""
    from transformers import DecisionTransformerConfig, DecisionTransformerModel

    torch.manual_seed(0)
    settings = {
        "state_dim": 4, "act_dim": 1, "max_ep_len": 500, "hidden_size": 16, "n_layer": 2, "n_head": 2,
        "activation_function": "gelu_new", "bos_token_id": None, "eos_token_id": None,
    }  # fmt: skip
    model = DecisionTransformerModel(DecisionTransformerConfig(**{**settings, **changes})).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def _their_actions(theirs: Any, batch: Batch) -> Tensor:
    with torch.no_grad():
        out = theirs(
            states=batch.observations,
            actions=batch.actions,
            returns_to_go=batch.returns_to_go[:, :, None],
            timesteps=batch.timesteps,
            attention_mask=batch.valid.long(),
        )
    return torch.as_tensor(out.action_preds)


def _our_actions(model: Any, batch: Batch) -> Tensor:
    with torch.no_grad():
        return torch.as_tensor(model.head(model.features(batch)))


def test_weights_are_converted_without_warnings(trained: Checkpoint) -> None:
    assert isinstance(trained.model, DecisionTransformer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = from_transformers(to_transformers(trained.model), trained.model.config.transformer)
    ours = trained.model.state_dict()
    assert all(torch.equal(weights, ours[name]) for name, weights in restored.items())


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_new"])
def test_transformers_loads_exported_models(activation: str, padding: int, tmp_path: Path) -> None:
    from transformers import DecisionTransformerModel

    shape = TransformerConfig(layers=2, heads=2, width=16, activation=activation)
    recipe = small_recipe(steps=3)
    checkpoint = train(make_episodes(), Recipe("decision", DecisionConfig(5, shape), recipe.train))
    hugging_face.save(checkpoint, tmp_path)
    opened: Any = DecisionTransformerModel.from_pretrained(tmp_path, output_loading_info=True)
    theirs, loading_info = opened
    assert not any(loading_info.values())
    batch = random_batch(True, padding=padding)
    ours, others = _our_actions(checkpoint.model.eval(), batch), _their_actions(theirs.eval(), batch)
    torch.testing.assert_close(ours[:, padding:], others[:, padding:], atol=1e-5, rtol=0)


def test_export_round_trip(trained: Checkpoint, tmp_path: Path) -> None:
    hugging_face.save(trained, tmp_path)
    restored = hugging_face.load(tmp_path)
    assert (restored.source, restored.normalization) == (trained.source, trained.normalization)
    assert restored.model.context == trained.model.context
    for name, weight in trained.model.state_dict().items():
        assert torch.equal(restored.model.state_dict()[name], weight)
    other = hugging_face.load(tmp_path, return_scale=5.0).normalization
    assert other == replace(trained.normalization, return_scale=5.0)
    text = (tmp_path / "README.md").read_text()
    assert str(list(trained.normalization.observation_mean)) in text


@pytest.fixture(scope="module")
def pendulum() -> Checkpoint:
    """A Decision Transformer with actions between -2 and 2."""
    backend = make_backend("Pendulum-v1", {"max_episode_steps": 20})
    metadata = {"env_id": "Pendulum-v1", "env_kwargs": {}, "dataset_name": "pendulum"}
    episodes = backend.play(UniformPolicy(backend.action_space), 5, seed=0)
    return train(replace(episodes, metadata=metadata), small_recipe(steps=5))


def _card_values(card: Path, name: str) -> Tensor:
    """Read the list with this name from a model card."""
    found = re.search(rf"^{name} = (\[.*\])$", card.read_text(), re.MULTILINE)
    assert found
    return torch.tensor(json.loads(found[1]))


def test_model_card_documents_action_normalization(pendulum: Checkpoint, tmp_path: Path) -> None:
    from transformers import DecisionTransformerModel

    hugging_face.save(pendulum, tmp_path)
    theirs = DecisionTransformerModel.from_pretrained(tmp_path).eval()
    mean, std, center, reach = (
        _card_values(tmp_path / "README.md", name) for name in ("mean", "std", "center", "reach")
    )
    observations = torch.tensor([[0.6, 0.8, 1.0], [1.0, 0.0, -4.0]])
    returns = torch.full((2, 1), -200.0 / pendulum.normalization.return_scale)
    steps = torch.zeros(2, 1, dtype=torch.int64)
    batch = Batch(((observations - mean) / std)[:, None], torch.zeros(2, 1, 1), returns, steps, steps == 0)
    expected = _their_actions(theirs, batch)[:, 0] * reach + center
    policy = load(hugging_face.load(tmp_path), -200.0)
    policy.begin(2, np.random.default_rng(0))
    actions = policy.act(observations.numpy(), np.zeros(2)).actions
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    assert np.abs(actions).min() > 1e-3


def test_imported_models_use_raw_actions(tmp_path: Path) -> None:
    theirs = _theirs(state_dim=3, max_ep_len=200)
    loaded = hugging_face.load(
        _saved(tmp_path, theirs, card=CARD.replace("1e-2, ", "").replace("0.125, ", "")), "Pendulum-v1"
    )
    one_step = Batch(*(part[:, :1] for part in random_batch(True)))
    actions = _their_actions(theirs, one_step._replace(observations=one_step.observations[..., :3]))
    assert torch.equal(loaded.normalization.raw_actions(actions), actions)
    assert torch.equal(loaded.normalization.actions(actions), actions)


def _saved(folder: Path, theirs: Any, pickled: bool = False, card: str = CARD) -> Path:
    """Save in the layout of the ``edbeeching`` models."""
    theirs.save_pretrained(folder)
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), folder / "pytorch_model.bin")
    (folder / "README.md").write_text(card)
    return folder


@pytest.mark.parametrize("pickled", [False, True])
def test_transformers_checkpoints_are_imported(pickled: bool, tmp_path: Path) -> None:
    theirs = _theirs()
    loaded = hugging_face.load(_saved(tmp_path, theirs, pickled), CONTINUOUS)
    batch = random_batch(True)
    assert isinstance(loaded.model, DecisionTransformer)
    torch.testing.assert_close(
        _our_actions(loaded.model, batch), _their_actions(theirs, batch), atol=1e-5, rtol=0
    )
    assert loaded.normalization.observation_mean == (0.5, -0.25, 0.01, 0.0)
    assert loaded.normalization.observation_std == (1.5, 2.0, 0.125, 1.0)
    assert loaded.normalization.return_scale == 1_000.0
    assert hugging_face.load(tmp_path, CONTINUOUS, 5.0).normalization.return_scale == 5.0
    episodes = make_backend(CONTINUOUS).play(load(loaded, 100.0), 2, seed=0)
    assert np.isfinite(episodes.actions).all()
    with pytest.raises(InputError, match=r"finite target return within .* got nan"):
        load(loaded)
    with pytest.raises(InputError, match="got none; add --target"):
        default_targets(loaded)


class Dangerous:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return subprocess.check_output, (["touch", "ran"],)


def test_mismatched_checkpoints_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = _saved(tmp_path / "good", _theirs())
    # file, its replaced content (None: missing), expected message
    cases: list[tuple[str, bytes | None, str]] = [
        ("README.md", None, "mean of 4 numbers in the card .* got 0"),
        ("README.md", CARD.replace("0.125,", "").encode(), "std of 4 numbers above 0 in the card .* got 3"),
        ("README.md", CARD.replace("0.125,", "0,").encode(), "above 0 in the card .* got 0.0 among them"),
        ("README.md", b"mean = [\xff 1-2-3]", "mean of 4 numbers in the card .* got 3"),
        ("config.json", None, "cannot be loaded"),
        ("config.json", b'{"model_type": "bert"}', "cannot be loaded|Expected"),
        ("model.safetensors", b"cut", "cannot be loaded"),
        ("model.safetensors", pickle.dumps({}), "cannot be loaded"),
    ]
    for number, (name, content, message) in enumerate(cases):
        file = Path(shutil.copytree(good, tmp_path / str(number))) / name
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError, match=message):
            hugging_face.load(file.parent, CONTINUOUS)
    with pytest.raises(InputError, match=r"Expected the environment of checkpoint .* got none"):
        hugging_face.load(good)
    with pytest.raises(InputError, match=r"of 3 and 1 numbers, as Pendulum-v1 has, got one for 4 and 1"):
        hugging_face.load(good, "Pendulum-v1")
    odd = _saved(tmp_path / "odd", _theirs(n_inner=20))
    with pytest.raises(InputError, match="n_inner to be None or 64, got 20"):
        hugging_face.load(odd, CONTINUOUS)
    dangerous = _saved(tmp_path / "dangerous", _theirs(), pickled=True)
    torch.save({"weights": Dangerous()}, dangerous / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        hugging_face.load(dangerous, CONTINUOUS)
    assert not (tmp_path / "ran").exists()


def test_export_does_not_overwrite_and_removes_partial_files(
    trained: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="Expected a new or empty folder"):
        hugging_face.save(trained, full)
    monkeypatch.setattr(hugging_face, "_card", lambda checkpoint: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hugging_face.save(trained, tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "thesis.tex"]


def _with_spaces(own: Any, **changes: Any) -> Any:
    return {**own, "source": {**own["source"], "spaces": {**own["source"]["spaces"], **changes}}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda own: [],
        lambda own: {**own, "context": "5"},
        lambda own: {**own, "normalization": {**own["normalization"], "observation_mean": ["a"]}},
        lambda own: {**own, "source": None},
        lambda own: _with_spaces(own, observation_size=5),
        lambda own: _with_spaces(own, max_episode_steps=5),
        lambda own: _with_spaces(own, continuous=False),
        lambda own: _with_spaces(own, action_size=-1),
    ],
    ids=["list", "context", "mean", "source", "observations", "steps", "choices", "actions"],
)
def test_corrupt_metadata_is_reported(damage: Any, trained: Checkpoint, tmp_path: Path) -> None:
    hugging_face.save(trained, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    metadata = json.loads(config.read_text())
    config.write_text(json.dumps({**metadata, hugging_face.OWN: damage(metadata[hugging_face.OWN])}))
    with pytest.raises(InputError, match="but they are corrupt"):
        hugging_face.load(tmp_path / "run")


@pytest.mark.parametrize(
    "config",
    [
        DecisionConfig(5, attention_window=2),
        DecisionConfig(5, tokens="summed"),
        DecisionConfig(5, TransformerConfig(norm="post")),
    ],
    ids=["sliding", "summed", "post"],
)
def test_unsupported_models_are_rejected(config: DecisionConfig, tmp_path: Path) -> None:
    recipe = small_recipe(steps=1)
    for env_id, other in ((CONTINUOUS, Recipe("decision", config, recipe.train)), (DISCRETE, recipe)):
        with pytest.raises(InputError, match="as transformers supports"):
            hugging_face.save(train(make_episodes(env_id), other), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scale", [0.0, -5.0, float("nan"), float("inf")])
def test_invalid_return_scales_are_rejected(scale: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"Expected a return scale above 0, got {scale}"):
        hugging_face.load(tmp_path, CONTINUOUS, scale)
