"""Random pushes: distribution, recording in infos and data sets, and dependence on the seed."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys import build_dataset, check
from cartpole_phys.data.loading import load_file
from cartpole_phys.policies.controllers import proportional
from cartpole_phys.rollouts.collect import collect, play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

gym.register_envs(cartpole_phys)

PUSHED: dict[str, Any] = {"push_rate": 5.0, "push_size": 8.0}


def test_push_rate_and_uniform_size() -> None:
    pushes = collect(CartPole(**PUSHED), proportional(3.0, True, 0.5), 200_000, 0).infos["push"]
    nonzero = pushes[pushes != 0]
    assert abs(len(nonzero) / len(pushes) - 5.0 * 0.02) < 0.003
    assert np.abs(nonzero).max() <= 8.0
    np.testing.assert_allclose(np.histogram(nonzero, 8, (-8, 8))[0] / len(nonzero), 1 / 8, atol=0.01)


def test_rollout_and_environment_record_equal_pushes() -> None:
    env: Any = gym.make("PhysCartPole-v0", **PUSHED)
    rollout = play(CartPole(**PUSHED), proportional(3.0, True, 0.5), 2, seed=4)
    for index, recorded in enumerate(rollout):
        observation, info = env.reset(seed=4) if index == 0 else env.reset()
        assert info == {}
        first = int(rollout.offsets[index])
        for t, action in enumerate(recorded.actions):
            np.testing.assert_array_equal(observation, recorded.observations[t])
            observation, *_, info = env.step(action)
            assert info == {"push": rollout.infos["push"][first + t]}


def test_info_is_empty_without_pushes() -> None:
    env = gym.make("PhysCartPole-v0")
    env.reset(seed=0)
    assert env.step(np.zeros(1, np.float32))[4] == {}


def test_pushed_rollouts_are_plausible() -> None:
    """Check bounded velocity changes, terminations, finite states and dependence on the seed."""
    system = CartPole(push_rate=10.0, push_size=10.0)
    data = play(system, proportional(1.2, True), 50, seed=0)
    velocity_jumps = [
        np.abs(np.diff(episode.observations[:, 1])).max() for episode in data if len(episode.rewards) > 1
    ]
    assert (
        max(velocity_jumps) < 20.0 * 1.0 * system.params.time_step * 1.1
    )  # both forces at most, over one step
    assert data.terminations.any()
    assert np.isfinite(data.observations).all()
    assert np.abs(data.final_observations[:, 2]).max() < 0.4
    other = play(system, proportional(1.2, True), 50, seed=1)
    assert not np.array_equal(data.lengths, other.lengths)


def test_pushed_data_set_passes_every_gate(tmp_path: Path) -> None:
    path = build_dataset(policy="heuristic", tier="medium", steps=5_000, env_kwargs=PUSHED, out=tmp_path)
    assert {result.gate for result in check(path) if result.status != "passed"} <= {
        "log_probs",
        "parts",
        "stitching",
    }
    data = load_file(path)
    assert (data.infos["push"] != 0).any()
    assert data.metadata["env_kwargs"] == PUSHED


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"push_rate": -1.0}, "push_rate as a finite number of at least 0"),
        ({"push_rate": 51.0}, "at most one push per step, 50 per second, got 51"),
        ({"push_size": float("inf")}, "push_size as a finite number"),
        ({"push_size": "big"}, "push_size as a finite number"),
    ],
)
def test_invalid_pushes_are_rejected(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gym.make("PhysCartPole-v0", **kwargs)
