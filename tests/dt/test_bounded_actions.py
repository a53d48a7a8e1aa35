"""Log-densities of actions at the bounds: clipped for data actions, exact for sampled actions."""

import math
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torchrl.modules import TanhNormal

from cartpole_phys.episodes import Episodes
from dt.data.source import describe
from dt.data.transitions import TransitionBatch
from dt.data.windows import Normalization
from dt.models.recipes import create
from dt.models.value_based.base import ValueBased, _as_tensordict
from dt.models.value_based.cql import CQLConfig
from tests.dt.test_value_losses import make_batch, make_model
from tests.support.small_models import make_episodes, small_recipe

LIMITS = {"iql": 1.0 - 1e-5, "cql": 0.999, "td3bc": 1.0}  # of data actions; TD3+BC uses no density
pytestmark = pytest.mark.filterwarnings("ignore")  # internal warnings of TorchRL


def at_the_bounds() -> Episodes:
    """Return episodes whose actions are all −1 or 1."""
    episodes = make_episodes(steps=300)
    return replace(episodes, actions=np.where(episodes.actions < 0.0, -1.0, 1.0).astype(np.float32))


def sampled(kind: str, config: Any, episodes: Episodes) -> tuple[ValueBased, TransitionBatch]:
    """Return an untrained model and a training batch."""
    spaces = describe(episodes).spaces
    torch.manual_seed(0)
    model = create(kind, config, spaces)
    assert isinstance(model, ValueBased)
    sampler = model.sampler(episodes, Normalization.of(episodes, spaces), torch.device("cpu"))
    return model, sampler.sample(64, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", LIMITS)
def test_data_actions_at_the_bounds_are_clipped_for_densities(kind: str) -> None:
    _, batch = sampled(kind, small_recipe(kind).model, at_the_bounds())
    limit = torch.tensor(LIMITS[kind])
    assert torch.equal(batch.actions.abs(), limit.expand_as(batch.actions))
    inside = replace(make_episodes(steps=300), actions=np.full((300, 1), 0.7, np.float32))
    assert torch.equal(
        sampled(kind, small_recipe(kind).model, inside)[1].actions.unique(), torch.tensor([0.7])
    )


def test_cql_cloning_gradient_at_the_bounds_equals_that_at_the_limit() -> None:
    """Regression: a clipped atanh made the gradient at ±1 16 times that at 0.9; it is 5 times now."""

    def gradient(episodes: Episodes) -> float:
        model, batch = sampled("cql", CQLConfig((16,)), episodes)
        torch.manual_seed(0)
        model.losses(_as_tensordict(batch))["loss_actor_bc"].backward()
        parts = [one.grad.flatten() for one in model.parameters() if one.grad is not None]
        return float(torch.cat(parts).norm())

    bounds = at_the_bounds()

    def scaled(size: float) -> Episodes:
        return replace(bounds, actions=bounds.actions * np.float32(size))

    assert gradient(bounds) == pytest.approx(gradient(scaled(0.999)), rel=1e-5)
    assert gradient(bounds) < 6.0 * gradient(scaled(0.9))


def test_cql_penalty_densities_are_exact_for_saturated_tanh() -> None:
    """For a policy whose actions all round to 1: log N(u; 12, σ) − log(1 − tanh² u), u before tanh."""
    mean, std, count = 12.0, 0.5, 500
    model = make_model("cql", CQLConfig((8,), sampled_actions=count))
    policy = TanhNormal(torch.full((3, 1), mean), torch.full((3, 1), std))
    losses: Any = model.losses
    with mock.patch.object(losses.actor_network, "get_dist", return_value=policy):
        actions, log_densities = losses._sampled(_as_tensordict(make_batch(3)))
    own = slice(count, 3 * count)  # after the uniform samples: policy samples in the current and next state
    assert float(actions[:, own].min()) > 1.0 - 1e-5
    expected = -0.5 * math.log(2.0 * math.pi * math.e * std**2) + 2.0 * (mean - math.log(2.0))
    assert float(log_densities[:, own].mean()) == pytest.approx(expected, abs=0.1)
