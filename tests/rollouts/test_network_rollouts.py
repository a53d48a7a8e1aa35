"""Rollouts of policy networks replay from a file's rows, independent of batches and threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cartpole_phys.batch import Columns
from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.behavior import from_description
from cartpole_phys.policies.network import NetworkPolicy, compiled_network, executed, log_probs
from cartpole_phys.rollouts.collect import collect, play, run_compiled
from cartpole_phys.rollouts.policy import StepwisePolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from tests.support.networks import Described, act, constant_network, described, with_description

KEY = key_from_seed(11)
BUSY = {"push_rate": 5.0, "observation_noise": 0.01, "randomize": {"pole_mass": [0.05, 0.2]}}
SEEN = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
GOOD = described("tanh_gaussian")
CASES = [
    ("balance", True, described("tanh_gaussian", hidden=(64, 64))),
    ("balance", True, described("gaussian", "tanh")),
    ("balance", False, described("categorical", "tanh", size=2)),
    ("swing_up", True, described("tanh_gaussian", observation_size=5)),
]


@pytest.mark.parametrize(("task", "continuous", "what"), CASES)
@pytest.mark.parametrize("deterministic", [False, True])
def test_rollouts_record_everything_for_replay(
    task: str, continuous: bool, what: Described, deterministic: bool
) -> None:
    description, weights = with_description(what, deterministic=deterministic)
    system = CartPole.from_arguments(task, continuous, BUSY)
    episodes = run_compiled(system, compiled_network(description, weights), KEY, 3, 300)
    raw, rows = episodes.infos.get("raw_actions"), len(episodes.actions)
    if deterministic:
        assert raw is None
        assert "action_log_probs" not in episodes.infos
        actions, _ = act((description, weights), episodes.observations)
        np.testing.assert_array_equal(actions, episodes.actions)
        return
    acted = episodes.actions
    if continuous:
        assert raw is not None
        assert (raw.shape, raw.dtype.str) == ((rows, 1), "<f4")
        np.testing.assert_array_equal(executed(description, raw), episodes.actions)
        acted = raw
    recorded = episodes.infos["action_log_probs"]
    assert (recorded.shape, recorded.dtype.str) == ((rows,), "<f4")
    np.testing.assert_array_equal(log_probs(description, weights, episodes.observations, acted), recorded)


@pytest.mark.parametrize(("task", "continuous", "what"), CASES)
def test_episodes_do_not_depend_on_batches_and_threads(task: str, continuous: bool, what: Described) -> None:
    system, policy = CartPole.from_arguments(task, continuous, {}), compiled_network(*what)

    def run(first: int, count: int) -> Episodes:
        return run_compiled(system, policy, KEY, first, count)

    with ThreadPoolExecutor(2) as pool:
        parts = concatenate(list(pool.map(run, (0, 1, 130), (1, 129, 70))))
    whole = run(0, 200)
    for name, array in whole.as_d4rl().items():
        np.testing.assert_array_equal(parts.as_d4rl()[name], array)


def test_sampled_actions_are_normal_and_independent() -> None:
    what = constant_network("gaussian", last_fc__bias=[0.25], log_std=[-0.5])
    episodes = collect(CartPole(), compiled_network(*what), 50_000, seed=0)
    drawn = (episodes.infos["raw_actions"][:, 0].astype(np.float64) - 0.25) / np.exp(-0.5)
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    for lag in (1, 2, 128):
        assert abs(np.corrcoef(drawn[lag:], drawn[:-lag])[0, 1]) < 4.0 / np.sqrt(len(drawn))
    np.testing.assert_allclose(
        episodes.infos["action_log_probs"], stats.norm.logpdf(drawn) + 0.5, rtol=1e-5, atol=1e-5
    )


def test_behavior_policies_are_rebuilt_from_their_description() -> None:
    what = described("gaussian", hidden=(16, 16))
    behavior = from_description(*what)
    system = CartPole()
    expected = play(system, compiled_network(*what), 5, seed=1).actions
    np.testing.assert_array_equal(play(system, behavior.policy, 5, seed=1).actions, expected)
    batch = behavior.batch_policy
    assert isinstance(batch, NetworkPolicy)
    batch.begin(len(SEEN), np.random.default_rng(0))
    np.testing.assert_array_equal(batch.act(SEEN, np.zeros(len(SEEN))).actions, act(what, SEEN)[0])
    foreign = from_description(*described("gaussian", observation_size=17, size=6))
    assert isinstance(foreign.batch_policy, NetworkPolicy)
    assert foreign.batch_policy.act(np.zeros((2, 17), np.float32), np.zeros(2)).actions.shape == (2, 6)
    with pytest.raises(InputError, match="one number in"):
        _ = foreign.policy


def test_networks_reject_mismatched_spaces() -> None:
    for what, message in (
        (described("tanh_gaussian", bounds=(-2.0, 2.0)), "one number in"),
        (described("categorical", size=3), "2 discrete actions"),
    ):
        with pytest.raises(InputError, match=message):
            compiled_network(*what)
    policy = compiled_network(*GOOD)
    for system in (CartPole(continuous=False), CartPole.from_arguments("swing_up", True, {})):
        with pytest.raises(InputError, match="use it in the environment"):
            play(system, policy, 1, seed=0)
        with pytest.raises(InputError, match="use it in the environment"):
            StepwisePolicy(policy, Columns(system, 1))
    with pytest.raises(InputError, match=r"shape \(n, 4\)"):
        act(GOOD, np.zeros((3, 5), np.float32))
    with pytest.raises(InputError, match=r"shape \(3, 1\)"):
        log_probs(*GOOD, np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float32))
    with pytest.raises(InputError, match=r"shape \(N, 1\)"):
        executed(GOOD[0], np.zeros((3, 2), np.float32))


def test_policies_with_networks_can_be_compared() -> None:
    first, second = compiled_network(*GOOD), compiled_network(*GOOD)
    assert first == replace(first)
    assert first != second
    assert len({first, replace(first), second}) == 2
