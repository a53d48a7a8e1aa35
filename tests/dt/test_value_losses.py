"""Losses of value-based methods equal those of the papers, with non-default parameters."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dt.data.transitions import TransitionBatch
from dt.models.recipes import create
from dt.models.value_based.base import ValueBased, ValueConfig, _as_tensordict
from dt.models.value_based.cql import CQLConfig
from dt.models.value_based.iql import IQLConfig
from dt.models.value_based.td3bc import TD3BCConfig
from tests.support.small_models import make_spaces

DISCOUNT = 0.6
pytestmark = pytest.mark.filterwarnings("ignore")  # internal warnings of TorchRL


class Networks:
    """A model's networks, each of one hidden layer, in plain PyTorch."""

    def __init__(self, model: ValueBased) -> None:
        self.weights = {name.removeprefix("losses."): one for name, one in model.state_dict().items()}

    def __call__(self, name: str, *inputs: Tensor) -> Tensor:
        """Return the outputs of a network (B,), or of both critics (2, B), for inputs (B, …)."""
        hidden = torch.cat(inputs, dim=1)
        for layer in (0, 2):
            weight, bias = (self.weights[f"{name}.{layer}.{part}"] for part in ("weight", "bias"))
            hidden = (hidden if layer == 0 else hidden.relu()) @ weight.mT + bias[..., None, :]
        return hidden[..., 0]  # (…, B, 1) -> (…, B)


def make_model(kind: str, config: ValueConfig) -> ValueBased:
    """Return an untrained model whose networks and target networks all differ."""
    torch.manual_seed(0)
    model = create(kind, config, make_spaces(True))
    assert isinstance(model, ValueBased)
    changed = {
        name: one + torch.randn_like(one) if "network_params" in name else one
        for name, one in model.state_dict().items()
    }
    model.load_state_dict(changed)
    return model


def make_batch(count: int = 200) -> TransitionBatch:
    generator = torch.Generator().manual_seed(1)
    observations, following = torch.randn(2, count, 4, generator=generator)
    actions = 2.0 * torch.rand(count, 1, generator=generator) - 1.0
    rewards, lots = torch.randn(count, generator=generator), torch.rand(count, generator=generator)
    return TransitionBatch(observations, actions, rewards, following, lots < 0.3)


def losses_of(model: ValueBased, batch: TransitionBatch) -> dict[str, Any]:
    """Return the losses by name, computed with PyTorch seed 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        return {
            name: float(one) for name, one in model.losses(_as_tensordict(batch)).items() if "loss" in name
        }


def critic_loss(networks: Networks, batch: TransitionBatch, following: Tensor) -> float:
    """Return the squared errors of both critics for next-state values ``following`` (B,)."""
    targets = batch.rewards + DISCOUNT * (~batch.terminated) * following
    found = networks("qvalue_network_params.module", batch.observations, batch.actions)
    return float((found - targets).square().mean(dim=1).sum())


def test_iql_losses_match_the_paper() -> None:
    """Equations 5 to 7 of Kostrikov et al. (2022), with weights clipped at 100 as in their code."""
    expectile, temperature = 0.85, 1.7
    config = IQLConfig((8,), discount=DISCOUNT, expectile=expectile, temperature=temperature)
    model, batch = make_model("iql", config), make_batch()
    networks, found = Networks(model), losses_of(model, batch)
    value, policy = "value_network_params.module", "actor_network_params.module.0.module"
    values = networks("target_qvalue_network_params.module", batch.observations, batch.actions).amin(dim=0)
    advantages = values - networks(value, batch.observations)
    weights = (expectile - (advantages < 0.0).float()).abs()
    assert found["loss_value"] == pytest.approx(float((weights * advantages.square()).mean()), rel=1e-5)
    expected = critic_loss(networks, batch, networks(value, batch.next_observations))
    assert found["loss_qvalue"] == pytest.approx(expected, rel=1e-5)

    counted = (temperature * advantages).exp()
    assert 0.01 < (counted > 100.0).float().mean() < 0.99
    mean = networks(f"{policy}.network", batch.observations).tanh()
    std = networks.weights[f"{policy}.log_std"].exp()
    scaled = (batch.actions[:, 0] - mean) / std
    log_densities = -0.5 * scaled.square() - std.log() - 0.5 * math.log(2.0 * math.pi)
    expected = -float((counted.clamp(max=100.0) * log_densities).mean())
    assert found["loss_actor"] == pytest.approx(expected, rel=1e-5)


def test_td3bc_losses_match_the_paper() -> None:
    """Equations 3 and 5 of Fujimoto and Gu (2021), targets as in Fujimoto et al. (2018), algorithm 1."""
    alpha, noise, clip = 1.5, 0.7, 0.3
    config = TD3BCConfig((8,), DISCOUNT, value_weight=alpha, policy_noise=noise, noise_clip=clip)
    model, batch = make_model("td3bc", config), make_batch()
    networks, found = Networks(model), losses_of(model, batch)
    torch.manual_seed(0)
    smoothing = noise * torch.randn_like(batch.actions)[:, 0]
    assert 0.1 < (smoothing.abs() > clip).float().mean() < 0.9
    slow = networks("target_actor_network_params.module.0", batch.next_observations).tanh()
    target_actions = (slow + smoothing.clamp(-clip, clip)).clamp(-1.0, 1.0)[:, None]
    values = networks("target_qvalue_network_params.module", batch.next_observations, target_actions).amin(
        dim=0
    )
    assert found["loss_qvalue"] == pytest.approx(critic_loss(networks, batch, values), rel=1e-5)

    done = networks("actor_network_params.module.0", batch.observations).tanh()
    first = networks("qvalue_network_params.module", batch.observations, done[:, None])[0]
    cloned = (done - batch.actions[:, 0]).square().mean()
    expected = float(cloned - alpha / first.abs().mean() * first.mean())
    assert found["loss_actor"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("iql", IQLConfig((8,), target_update=0.3)),
        ("cql", CQLConfig((8,), target_update=0.3)),
        ("td3bc", TD3BCConfig((8,), target_update=0.3)),
    ],
)
def test_target_networks_follow_the_polyak_coefficient(kind: str, config: ValueConfig) -> None:
    model = make_model(kind, config)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    model.after_step()
    slow = [name for name in before if "target_" in name and "network_params" in name]
    assert slow
    for name in slow:
        expected = 0.7 * before[name] + 0.3 * before[name.replace("target_", "")]
        torch.testing.assert_close(model.state_dict()[name], expected)
