"""Value-based methods: transitions, target networks, the CQL penalty and training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cartpole_phys.policies.controllers import uniform
from cartpole_phys.rollouts.collect import collect, play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from dt.data.source import describe
from dt.data.transitions import Transitions
from dt.data.windows import Normalization
from dt.models.recipes import create, recipe
from dt.models.value_based.base import _as_tensordict
from dt.models.value_based.cql import ConservativeQLearning, CQLConfig
from dt.policy import load
from dt.training import checkpoint as checkpoints
from dt.training.loop import train
from tests.support.small_models import DISCRETE, make_episodes, small_recipe

METHODS = ("iql", "cql", "td3bc")
pytestmark = pytest.mark.filterwarnings("ignore")  # internal warnings of TorchRL


def test_transitions_match_the_episodes() -> None:
    episodes = make_episodes()
    normalization = Normalization.of(episodes, describe(episodes).spaces)
    batch = Transitions(episodes, normalization, torch.device("cpu"), 50.0).sample(1_000, torch.Generator())
    observations = normalization.observations(torch.as_tensor(episodes.observations))
    rows = [int((observations == one).all(dim=1).nonzero()[0]) for one in batch.observations]
    following = normalization.observations(torch.as_tensor(episodes.next_observations))
    assert torch.equal(batch.next_observations, following[rows])
    assert torch.equal(batch.actions, torch.as_tensor(episodes.actions)[rows])
    assert torch.equal(batch.terminated, torch.as_tensor(episodes.terminations)[rows])
    span = np.ptp(episodes.returns[episodes.complete])
    np.testing.assert_allclose(batch.rewards, 50.0 / span, rtol=1e-6)
    assert len(set(rows)) > 500
    raw = Transitions(episodes, normalization, torch.device("cpu")).sample(1_000, torch.Generator())
    assert torch.equal(raw.rewards, torch.ones(1_000))
    alike = Transitions(episodes[:1], normalization, torch.device("cpu"), 50.0)
    assert torch.equal(alike.rewards, torch.ones(len(alike.rewards)))  # no range of returns to scale by


@pytest.mark.parametrize("kind", METHODS)
def test_resuming_is_bit_for_bit_reproducible(kind: str, tmp_path: Path) -> None:
    episodes, recipe = make_episodes(steps=300), small_recipe(kind, steps=7)
    whole = train(episodes, recipe)
    train(episodes, small_recipe(kind, steps=3), tmp_path / "run")
    resumed = train(episodes, recipe, tmp_path / "run", resume=True)
    for one, other in (
        (whole.model.state_dict(), resumed.model.state_dict()),
        (whole.training, resumed.training),
    ):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    loaded = checkpoints.load(tmp_path / "run")
    observations = torch.randn(5, 4)
    assert torch.equal(loaded.model.mean_action(observations), resumed.model.mean_action(observations))  # type: ignore[operator]


@pytest.mark.parametrize("kind", METHODS)
def test_target_network_updates_and_separate_gradients(kind: str) -> None:
    trained = train(make_episodes(steps=300), small_recipe(kind, steps=4))
    weights = trained.model.state_dict()
    targets = [name for name in weights if "target_qvalue" in name]
    assert targets
    for name in targets:
        fast = weights[name.replace("target_", "")]
        assert 0.0 < (weights[name] - fast).abs().max() < 1.0
    assert int(trained.model.updates) == 4  # type: ignore[arg-type]


def test_cql_penalty_is_the_integral_over_actions() -> None:
    """Over M importance samples, log Σ exp(Q − log density) estimates log M + log ∫ exp Q da."""
    episodes, count, weight = make_episodes(steps=300), 4_000, 5.0
    spaces = describe(episodes).spaces
    sampler = Transitions(episodes, Normalization.of(episodes, spaces), torch.device("cpu"))
    batch = sampler.sample(16, torch.Generator().manual_seed(0))
    elsewhere = batch._replace(next_observations=5.0 + batch.next_observations)  # values differ there
    torch.manual_seed(0)
    config = CQLConfig(hidden=(8,), sampled_actions=count, conservative_weight=weight)
    model = create("cql", config, spaces)
    penalty = float(model.losses(_as_tensordict(elsewhere))["loss_cql"])  # type: ignore[operator]

    grid = torch.linspace(-1.0, 1.0, 2_001)
    expected = 0.0
    for critic in model.losses.qvalue_network_params.unbind(0):  # type: ignore[operator, union-attr]

        def values(actions: torch.Tensor, critic: Any = critic) -> torch.Tensor:
            states = batch.observations[:, None].expand(-1, actions.shape[1], -1)  # (B, obs) -> (B, A, obs)
            with torch.no_grad(), critic.to_module(model.losses.qvalue_network):  # type: ignore[union-attr]
                q_values = model.losses.qvalue_network.module(states, actions)  # type: ignore[union-attr, operator]
            return torch.as_tensor(q_values)[..., 0]  # (B, A, 1) -> (B, A)

        integral = torch.trapezoid(values(grid.expand(16, -1)[..., None]).exp(), grid).log()  # (B,)
        expected += float((np.log(3 * count) + integral - values(batch.actions[:, None])[:, 0]).mean())
    assert penalty == pytest.approx(weight * expected, rel=1e-3)


def test_cql_penalty_actions_are_on_the_device_of_the_data() -> None:
    """Data on the CPU with another default device emulate data on a GPU with the CPU as default."""
    episodes = make_episodes(steps=300)
    spaces = describe(episodes).spaces
    sampler = Transitions(episodes, Normalization.of(episodes, spaces), torch.device("cpu"))
    model = create("cql", CQLConfig(hidden=(8,), sampled_actions=3), spaces)
    batch = _as_tensordict(sampler.sample(16, torch.Generator()))
    with torch.device("meta"):
        actions, log_densities = model.losses._sampled(batch)  # type: ignore[operator, union-attr]
    assert actions.device == log_densities.device == torch.device("cpu")
    assert (actions.shape, log_densities.shape) == ((16, 9, 1), (16, 9))


@pytest.mark.parametrize("part", ["actor_network_params", "target_qvalue_network_params"])
def test_td3bc_updates_policy_and_target_networks_every_other_step(part: str) -> None:
    episodes = make_episodes(steps=300)
    parts = []
    for steps in (1, 2, 3):
        weights = train(episodes, small_recipe("td3bc", steps=steps)).model.state_dict()
        own = [weight for name, weight in weights.items() if name.startswith(f"losses.{part}")]
        parts.append(torch.cat([weight.flatten() for weight in own]))
    assert torch.equal(parts[0], parts[1])
    assert not torch.equal(parts[1], parts[2])


def test_cql_policy_starts_with_behavior_cloning() -> None:
    episodes = make_episodes(steps=300)
    model = train(episodes, small_recipe("cql", steps=2)).model
    assert isinstance(model, ConservativeQLearning)
    counted = {}
    for updates in (0, 2, model.config.cloning_steps):
        model.updates.fill_(updates)
        counted[updates] = [name for name in ("loss_actor", "loss_actor_bc") if model.is_active(name)]
    assert list(counted.values()) == [["loss_actor_bc"], ["loss_actor_bc"], ["loss_actor"]]
    assert model.is_active("loss_cql")


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
def test_training_on_random_data_beats_the_random_policy(kind: str) -> None:
    """Train on uniformly random actions, whose returns are near 26 of 500."""
    system = CartPole()
    metadata = {"env_id": "PhysCartPole-v0", "env_kwargs": {}}
    data = replace(collect(system, uniform(), 20_000, 0), metadata=metadata)
    chosen = recipe(kind, "tiny", steps=4_000)
    if kind == "cql":  # evaluates 30 further actions per transition
        train_config = replace(chosen.train, steps=2_000, batch_size=64, learning_rate=1e-3)
        chosen = replace(chosen, model=CQLConfig(hidden=(64, 64), cloning_steps=100), train=train_config)
    returns = play(system, load(train(data, chosen), 0.0), 100, seed=1).returns
    assert returns.mean() > 2.0 * data.returns.mean()


def test_discrete_actions_are_rejected() -> None:
    for kind in METHODS:
        with pytest.raises(InputError, match="continuous actions"):
            train(make_episodes(DISCRETE), small_recipe(kind))
