"""Attention maps equal the models' attention weights; measures are sums of attention weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dt.attention.maps import AttentionMaps, attention_maps, rollout_windows, untrained
from dt.attention.measures import RECENT, SPREAD, measure, shares
from dt.data.windows import Batch
from dt.models.decision import DecisionConfig
from dt.models.energy import EnergyModel
from dt.models.gpt import Attention, TransformerConfig
from dt.models.recipes import Recipe
from dt.training.checkpoint import Checkpoint
from dt.training.loop import train
from tests.support.commands import Command
from tests.support.small_models import make_episodes, small_recipe

EXACT = 1e-6


def _sliding(recipe: Recipe) -> Recipe:
    assert isinstance(recipe.model, DecisionConfig)
    return replace(recipe, model=replace(recipe.model, attention_window=2))


def _summed(recipe: Recipe) -> Recipe:
    assert isinstance(recipe.model, DecisionConfig)
    return replace(recipe, model=replace(recipe.model, tokens="summed"))


RECIPES = {
    "decision": small_recipe(),
    "sliding": _sliding(small_recipe()),
    "summed": _summed(small_recipe()),
    "reinformer": small_recipe("reinformer"),
    "trajectory": small_recipe("trajectory"),
    "energy": small_recipe("energy"),
}


@pytest.fixture(scope="module", params=RECIPES)
def trained(request: pytest.FixtureRequest) -> Checkpoint:
    """A trained model of each kind."""
    return train(make_episodes(), RECIPES[request.param])


def test_attention_weights_reproduce_the_layer_output() -> None:
    torch.manual_seed(0)
    attention = Attention(TransformerConfig(heads=2, width=16)).eval()
    queries, tokens = torch.randn(3, 4, 16), torch.randn(3, 6, 16)
    mask = torch.rand(3, 1, 4, 6) < 0.7
    mask[..., 0] = True
    weights = attention.weights(queries, tokens, mask)  # (B, H, Q, T)
    values = attention.key_value(tokens)[:, :, 16:].unflatten(2, (2, 8)).transpose(1, 2)  # (B, H, T, D/H)
    mixed = attention.output((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(mixed, attention(queries, tokens, mask), atol=EXACT, rtol=EXACT)


def test_maps_have_a_row_per_query_and_respect_the_mask(trained: Checkpoint) -> None:
    windows = rollout_windows(trained, episodes=4, seed=0)
    maps = attention_maps(trained.model, windows)
    shape = trained.recipe.model.transformer  # type: ignore[union-attr]
    queries, tokens = len(maps.query_steps), len(maps.kinds)
    assert maps.weights.shape == (4, shape.layers, shape.heads, queries, tokens)
    assert queries == trained.model.window  # one action per step
    torch.testing.assert_close(maps.weights.sum(dim=4), torch.ones(4, shape.layers, shape.heads, queries))
    assert (maps.weights[..., ~maps.allowed] == 0.0).all()
    assert (maps.weights[..., maps.allowed] > 0.0).all()
    assert len(maps.key_steps) == tokens
    assert maps.query_steps.tolist() == list(range(queries))
    newest = {maps.kinds[int(row.nonzero().max())] for row in maps.allowed}  # before the action
    assert newest <= {"observation", "return", "step"} or trained.recipe.kind == "energy"
    assert dict(shares(maps.uniform, maps)).keys() == dict(shares(maps.weights, maps)).keys()


def test_energy_maps_are_in_temporal_order() -> None:
    """Compare with the same model on tokens in temporal order."""
    checkpoint = train(make_episodes(), RECIPES["energy"])
    model = checkpoint.model.eval()
    assert isinstance(model, EnergyModel)
    batch: Batch = rollout_windows(checkpoint, episodes=2, seed=0)
    maps, plans = attention_maps(model, batch), model.tokens(batch.actions)
    full_mask = torch.ones(1, 1, model.size + 1, model.size + 1, dtype=torch.bool)
    for position in range(model.size):
        tokens = model.embed_token(plans)
        tokens[:, position] = model.embed_masked
        first = model.embed_observation(batch.observations[:, 0])[:, None]
        hidden = torch.cat([first, tokens + model.embed_place], dim=1)
        for layer, block in enumerate(model.transformer.blocks):
            normed = block.attention_norm(hidden)
            expected: Tensor = block.attention.weights(normed, normed, full_mask)[:, :, position + 1]
            torch.testing.assert_close(maps.weights[:, layer, :, position], expected, atol=EXACT, rtol=EXACT)
            hidden = block(hidden, full_mask)


def test_measures_of_a_known_map() -> None:
    """Two queries over tokens of steps 0, 0, 1: one attends to the first token only, one uniformly."""
    third = 1.0 / 3.0
    maps = AttentionMaps(
        torch.tensor([[1.0, 0.0, 0.0], [third, third, third]])[None, None, None],
        torch.tensor([[True, True, False], [True, True, True]]),
        ("return", "action", "return"),
        torch.tensor([0, 2]),
        torch.tensor([0, 0, 1]),
    )
    found = {name: values.item() for name, values in shares(maps.weights, maps)}
    assert found["return"] == pytest.approx((1.0 + 2.0 * third) / 2)
    assert found["action"] == pytest.approx(third / 2)
    assert found[RECENT] == pytest.approx((1.0 + third) / 2)
    assert found["2 steps away"] == pytest.approx(third)
    assert found[SPREAD] == pytest.approx((0.5 + 1.0) / 2)
    even = {name: values.item() for name, values in shares(maps.uniform, maps)}
    assert even["action"] == pytest.approx((0.5 + third) / 2)
    assert even[SPREAD] == pytest.approx(1.0)


def test_untrained_recreates_the_initial_model(trained: Checkpoint) -> None:
    initial, repeated, model = untrained(trained), untrained(trained), trained.model
    same = [torch.equal(one, model.get_parameter(name)) for name, one in initial.named_parameters()]
    assert not all(same)
    for name, one in initial.named_parameters():
        assert torch.equal(one, repeated.get_parameter(name))
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, initial.get_buffer(name))
    windows = rollout_windows(trained, episodes=3, seed=0)
    measures = {
        one.name: one
        for one in measure(attention_maps(trained.model, windows), attention_maps(initial, windows))
    }
    assert measures[SPREAD].untrained == pytest.approx(1.0, abs=0.05)  # nearly uniform attention
    assert all(one.low <= one.trained <= one.high for one in measures.values())


def test_attention_command_reports_and_plots(medium_file: Path, tmp_path: Path) -> None:
    run, plot = tmp_path / "run", tmp_path / "maps.png"
    assert Command("dt.train", medium_file, "--steps", 2, "--out", run).finish()[0] == 0
    arguments = ("dt.attention.__main__", run, "--episodes", 3)
    code, output, errors = Command(*arguments, "--json", "--plot", plot).finish()
    assert (code, errors) == (0, "")
    names = [one["name"] for one in json.loads(output)["measures"]]
    assert names[:4] == ["return", "observation", "action", RECENT]
    assert plot.read_bytes().startswith(b"\x89PNG")
    code, output, errors = Command(*arguments, "--quiet").finish()
    assert (code, errors) == (0, "")
    assert "uniform" in output
    other = Command("dt.train", medium_file, "--model", "bc", "--steps", 1, "--out", tmp_path / "bc")
    assert other.finish()[0] == 0
    code, output, errors = Command("dt.attention.__main__", tmp_path / "bc").finish()
    assert (code, errors) == (2, "error: Expected a transformer model, got 'bc', which has no attention.\n")
    code, output, errors = Command(*arguments, "--seed", -1).finish()
    assert (code, errors) == (2, "error: Expected a seed as an integer of at least 0, got -1.\n")
