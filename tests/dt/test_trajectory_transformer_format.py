"""Imported Trajectory Transformers match the published architecture."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cartpole_phys.data.loading import load_whole
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from dt.formats import trajectory_transformer
from dt.models.trajectory import TrajectoryTransformer
from dt.policy import load
from dt.scores import default_targets
from dt.training import checkpoint as checkpoints
from dt.training.loop import train
from tests.support.commands import Command
from tests.support.small_models import make_episodes, small_recipe

EXACT = 1e-5
SETTINGS: dict[str, Any] = {
    "model_type": "trajectory_transformer",
    "vocab_size": 9,
    "observation_dim": 4,
    "action_dim": 1,
    "transition_dim": 7,
    "block_size": 48,  # of 7 steps, all but the last token
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 16,
    "resid_pdrop": 0.1,
}


class Layer(nn.Module):
    """A block of the published architecture, with the published weight names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        names = ("query", "key", "value", "proj")
        self.attn = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.l1, self.l2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor, mask: Tensor, heads: int) -> Tensor:
        """Apply the block with exact GELU and the lowest finite score for masked keys."""
        normed = self.ln1(hidden)
        query, key, value = (
            self.attn[name](normed).unflatten(2, (heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        shares = scores.masked_fill(~mask, torch.finfo(torch.float32).min).softmax(dim=3)
        hidden = hidden + self.attn["proj"]((shares @ value).transpose(1, 2).flatten(2))
        out: Tensor = hidden + self.l2(nn.functional.gelu(self.l1(self.ln2(hidden))))
        return out


class Published(nn.Module):
    """The published architecture and weight names, with large weights so that predictions differ."""

    def __init__(self) -> None:
        super().__init__()
        width, step, bins = (SETTINGS[name] for name in ("n_embd", "transition_dim", "vocab_size"))
        self.tok_emb = nn.Embedding(bins * step + 1, width)
        self.pos_emb = nn.Parameter(torch.randn(1, SETTINGS["block_size"], width))
        self.blocks = nn.ModuleList(Layer(width) for _ in range(SETTINGS["n_layer"]))
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.ParameterDict({"weight": torch.randn(step, bins + 1, width)})
        for module in self.modules():
            if isinstance(module, nn.LayerNorm | nn.Linear):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (B, T, N + 1) of the token after each of (B, T)."""
        count, step, bins = tokens.shape[1], SETTINGS["transition_dim"], SETTINGS["vocab_size"]
        own = tokens + torch.arange(count) % step * bins
        hidden = self.tok_emb(torch.where(tokens == bins, step * bins, own)) + self.pos_emb[:, :count]
        mask = torch.ones(count, count, dtype=torch.bool).tril()
        mask[:, step - 1 :: step] = False
        for block in self.blocks:
            hidden = block(hidden, mask, SETTINGS["n_head"])
        weights = self.head["weight"][torch.arange(count) % step]  # (T, N + 1, D)
        return torch.einsum("btd,tnd->btn", self.ln_f(hidden), weights)


def published(folder: Path, pickled: bool = False, **changes: Any) -> Published:
    """Write a folder in the layout of the CarlCochet models."""
    torch.manual_seed(0)
    model = Published()
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**SETTINGS, **changes}))
    if pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        save_file(model.state_dict(), folder / "model.safetensors")
    return model


@pytest.mark.parametrize("pickled", [True, False])
def test_predictions_match_the_published_architecture(pickled: bool, tmp_path: Path) -> None:
    theirs = published(tmp_path / "theirs", pickled)
    ours = trajectory_transformer.load(str(tmp_path / "theirs"), make_episodes()).model
    assert isinstance(ours, TrajectoryTransformer)
    tokens = torch.randint(10, (5, 48))  # includes stop tokens
    with torch.no_grad():
        torch.testing.assert_close(ours.logits(tokens), theirs(tokens), atol=EXACT, rtol=EXACT)


def test_import_then_evaluate(medium_file: Path, tmp_path: Path) -> None:
    published(tmp_path / "theirs")
    arguments = ("dt.exchange", "import", tmp_path / "theirs", "--out", tmp_path / "ours")
    code, output, errors = Command(*arguments).finish()
    assert code == 2
    assert errors == "error: Expected the data of the Trajectory Transformer, got none; add --data.\n"
    code, output, errors = Command(*arguments, "--data", medium_file).finish()
    assert (code, output.strip()) == (0, str(tmp_path / "ours")), errors
    checkpoint = checkpoints.load(tmp_path / "ours")
    played = play(CartPole(), load(checkpoint), 2, seed=0)
    data = load_whole(medium_file).actions
    assert data.min() <= played.actions.min() <= played.actions.max() <= data.max()
    assert len(np.unique(played.actions)) > 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("trajectory_transformer", ("--data", "d.hdf5", "--env", "Hopper-v5"), "leave out --env and"),
        ("trajectory_transformer", ("--data", "d.hdf5", "--return-scale", 5), "leave out --env and"),
        ("decision_transformer", ("--data", "d.hdf5"), "leave out --data."),
    ],
)
def test_irrelevant_options_are_rejected(
    kind: str, options: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    published(tmp_path / "theirs", model_type=kind)
    arguments = (tmp_path / "theirs", "--out", tmp_path / "ours", *options)
    code, output, errors = Command("dt.exchange", "import", *arguments).finish()
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert message in errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "Expected a trajectory_transformer in .*, got 'gpt2'"),
        ({"observation_dim": 17}, r"steps of \(4, 1, 7\) numbers, as in the data, got \(17, 1, 7\)"),
        ({"n_layer": 3}, "cannot be read"),
        ({"n_embd": 32}, "cannot be read"),
        ({"vocab_size": "many"}, "cannot be read"),
        ({"n_head": 5}, "a width divisible by heads"),
    ],
)
def test_mismatched_configs_are_rejected(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    published(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        trajectory_transformer.load(str(tmp_path), make_episodes())


def test_corrupt_files_are_rejected(tmp_path: Path) -> None:
    published(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match="cannot be read"):
        trajectory_transformer.load(str(tmp_path), make_episodes())
    weights.unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match="cannot be read"):
        trajectory_transformer.load(str(tmp_path), make_episodes())
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match="Expected a JSON object"):
        trajectory_transformer.load(str(tmp_path), make_episodes())
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"its config\.json cannot be read"):
        trajectory_transformer.load(str(tmp_path), make_episodes())


def test_imported_models_use_published_target_returns() -> None:
    checkpoint = train(make_episodes(), small_recipe(steps=1))
    unknown = replace(checkpoint.source, env_id="HalfCheetah-v5", max_return=math.nan)
    assert default_targets(replace(checkpoint, source=unknown)) == [12_000.0, 6_000.0]
    with pytest.raises(InputError, match="got none; add --target"):
        default_targets(replace(checkpoint, source=replace(unknown, env_id="Pendulum-v1")))
