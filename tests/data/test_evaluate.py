"""Evaluation of policies, models and functions in any environment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import ClipAction, HumanRendering, NormalizeObservation, RecordEpisodeStatistics

import cartpole_phys
from benchmarks.pendulum_reference import PendulumReference
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data import score
from cartpole_phys.data.evaluation import evaluate
from cartpole_phys.data.score import mean_interval, references, references_of, return_of_score
from cartpole_phys.policies.controllers import regulator, uniform
from cartpole_phys.policies.resolve import as_policy
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError


def swinging(observations: np.ndarray) -> np.ndarray:
    """Torque in the direction of motion of Pendulum-v1."""
    return 2 * np.sign(observations[:, 2:])


def test_statistics_are_those_of_the_episodes() -> None:
    result = cartpole_phys.evaluate("lqr", "PhysCartPole-v0", episodes=20, seed=4)
    episodes = play(CartPole(), regulator(CartPole().params), 20, 4)
    np.testing.assert_array_equal(result.returns, episodes.returns)
    np.testing.assert_array_equal(result.lengths, episodes.lengths)
    assert (result.mean_return, result.low, result.high) == mean_interval(episodes.returns)
    assert result.score == 100.0


def test_the_interval_of_many_values_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=30)
    at_once = mean_interval(values, 3)
    monkeypatch.setattr(score, "INDICES", 7 * 30 + 1)  # seven samples at a time
    assert mean_interval(values, 3) == at_once


@pytest.mark.parametrize("count", [2, 5, 100])
def test_the_interval_is_that_of_scipy(count: int) -> None:
    from scipy import stats

    values = np.random.default_rng(count).normal(size=count)
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=score.RESAMPLES,
        method="percentile",
        random_state=np.random.default_rng(3),
    ).confidence_interval
    assert mean_interval(values, 3) == pytest.approx((values.mean(), theirs.low, theirs.high), rel=1e-12)


@pytest.mark.parametrize("env_id", ["PhysCartPole-v0", "Pendulum-v1"])
@pytest.mark.parametrize(("count", "seed"), [(0, 0), (1.5, 0), (1, -1), (1, 0.5)])
def test_invalid_episode_counts_and_seeds_are_rejected(env_id: str, count: Any, seed: Any) -> None:
    with pytest.raises(InputError, match="at least 1 episode" if count != 1 else "a seed as an integer"):
        evaluate("random", env_id, episodes=count, seed=seed)


@pytest.mark.parametrize("env_id", ["PhysCartPole-v0", "Pendulum-v1"])
def test_a_random_policy_scores_zero(env_id: str) -> None:
    result = evaluate("random", env_id, episodes=300, seed=1)
    assert result.score == pytest.approx(0.0, abs=5.0)
    assert result.low < return_of_score(env_id, 0.0) < result.high
    assert evaluate("random", env_id, 5, 1).returns.tolist() == result.returns[:5].tolist()


@pytest.mark.parametrize("end", [None, 3, {}, {"mean": "1"}, {"mean": np.inf}, {"mean": True}])
def test_invalid_references_are_rejected(end: Any) -> None:
    good, better = {"mean": 1.0}, {"mean": 2.0}
    assert references_of("Some-v0", {"ref_min": good, "ref_max": better})
    for stated in ({"ref_min": end, "ref_max": better}, {"ref_min": good, "ref_max": end}, end):
        with pytest.raises(InputError, match="its score is undefined"):
            references_of("Some-v0", stated)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, 0.5), (np.nan, 1.0)])
def test_references_without_a_range_are_rejected(low: float, high: float) -> None:
    with pytest.raises(InputError, match="its score is undefined"):
        references_of("Some-v0", {"ref_min": {"mean": low}, "ref_max": {"mean": high}})


def test_an_environment_without_references_has_no_score() -> None:
    assert evaluate("random", "CartPole-v1", 3).score is None


def test_the_best_known_pendulum_is_as_recorded() -> None:
    """On a coarse grid, over starts of the same distribution; agents of SAC stay at -140 to -150."""
    reference = references("Pendulum-v1")["ref_max"]
    best = evaluate(PendulumReference((151, 121)), "Pendulum-v1", episodes=320)
    assert best.low < reference["mean"] < best.high
    assert best.returns.max() <= 0
    swung = evaluate(swinging, "Pendulum-v1", episodes=320)
    assert swung.mean_return < best.mean_return - 100


def test_the_policy_of_a_file(medium_file: Path) -> None:
    result = evaluate(str(medium_file), "PhysCartPole-v0", 200)
    np.testing.assert_array_equal(evaluate(medium_file, "PhysCartPole-v0", 200).returns, result.returns)
    assert result.score == pytest.approx(50, abs=12)
    with pytest.raises(InputError, match=r"of PhysCartPole-v0, .*, got Pendulum-v1, which differs"):
        evaluate(medium_file, "Pendulum-v1")


@pytest.mark.parametrize(
    "env",
    [
        lambda: gym.make("Pendulum-v1", g=5.0),
        lambda: gym.make("Pendulum-v1", g=5.0, render_mode="rgb_array"),
        lambda: gym.make("Pendulum-v1", g=5.0, render_mode="rgb_array_list"),
        lambda: HumanRendering(gym.make("Pendulum-v1", g=5.0, render_mode="rgb_array")),
        lambda: gym.make("Pendulum-v1", g=5.0, disable_env_checker=True),
        lambda: RecordEpisodeStatistics(gym.make("Pendulum-v1", g=5.0)),
        lambda: gym.make("Pendulum-v1", g=5.0).spec,
        lambda: RecordEpisodeStatistics(gym.make("Pendulum-v1", g=5.0)).spec,
    ],
)
def test_environment_instances(env: Callable[[], Any]) -> None:
    result, usual = evaluate(swinging, env(), 4), evaluate(swinging, "Pendulum-v1", 4)
    expected = make_backend("Pendulum-v1", {"g": 5.0}).play(as_policy(swinging), 4, 0)
    np.testing.assert_array_equal(result.returns, expected.returns)
    assert (result.returns != usual.returns).any()


def test_instances_of_the_package_environments() -> None:
    made = gym.make("PhysCartPole-v0", params={"pole_mass": 0.3}, push_rate=10.0)
    system = CartPole.from_id("PhysCartPole-v0", {"params": {"pole_mass": 0.3}, "push_rate": 10.0})
    expected = play(system, uniform(), 10, 0).returns
    np.testing.assert_array_equal(evaluate("random", made, 10).returns, expected)


def test_the_time_limit_of_an_instance_is_used() -> None:
    made = gym.make("Pendulum-v1", max_episode_steps=9)
    assert evaluate("random", made, 2).lengths.tolist() == [9, 9]
    endless = gym.make("Pendulum-v1", max_episode_steps=-1)
    for unlimited in (endless, gym.make("Pendulum-v1").unwrapped, gym.make("PhysCartPole-v0").unwrapped):
        with pytest.raises(InputError, match=r"got no limit; pass the environment .* not unwrapped"):
            evaluate("random", unlimited)
    with pytest.raises(InputError, match=r"Expected the 500 steps .* got 9"):
        evaluate("random", gym.make("PhysCartPole-v0", max_episode_steps=9))


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (lambda: ClipAction(gym.make("Pendulum-v1")), "got one wrapped in ClipAction; register"),
        (lambda: NormalizeObservation(gym.make("Pendulum-v1")), "wrapped in NormalizeObservation"),
        (lambda: ClipAction(gym.make("Pendulum-v1")).spec, "wrapped in ClipAction"),
        (lambda: gym.make("Pendulum-v1").unwrapped.__class__(), "got one without a spec"),
        (lambda: gym.make_vec("Pendulum-v1"), "Expected an environment id, an EnvSpec or a gymnasium.Env"),
        (lambda: 3, "Expected an environment id, an EnvSpec or a gymnasium.Env, got 3"),
    ],
)
def test_other_environments_are_refused(env: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate("random", env())


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("lqr", "'lqr' does not support this task"),
        ("nowhere.hdf5", "There is no file 'nowhere.hdf5'"),
        (5, "Expected a policy"),
        (regulator(CartPole().params), "control law for this package's"),
    ],
)
def test_mismatched_policies_are_rejected(policy: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(policy, "Pendulum-v1")
