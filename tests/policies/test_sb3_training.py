"""Training is bit-for-bit reproducible, extends shorter runs, and keeps the acting networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecEnv

from cartpole_phys import build_dataset
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.policies.network import NetworkPolicy
from cartpole_phys.policies.training.envs import training_environment
from cartpole_phys.policies.training.hyperparameters import training_settings
from cartpole_phys.policies.training.recipe import Goal, TrainingRecipe
from cartpole_phys.policies.training.run import TrainingRun
from cartpole_phys.policies.training.sb3 import describe_network, network_weights, new_model, train
from cartpole_phys.utils.errors import InputError
from tests.support.training_recipes import small_recipe, trained

KINDS = [("sac", "PhysCartPole-v0"), ("ppo", "PhysCartPole-v0"), ("ppo", "PhysCartPoleDiscrete-v0")]


def _venv(recipe: TrainingRecipe) -> VecEnv:
    return training_environment(recipe.env_id, recipe.env_kwargs).make(recipe.n_envs)


def _assert_prefix(short: TrainingRun, long: TrainingRun) -> None:
    """Assert that the longer run begins with the bits of the shorter one."""
    count = len(short.steps)
    pairs: list[tuple[Any, Any]] = [(short.steps, long.steps), (short.mean_returns, long.mean_returns)]
    pairs += [(short.weights[name], long.weights[name]) for name in short.weights]
    for ours, theirs in pairs:
        assert ours.tobytes() == theirs[:count].tobytes()
    for name, array in short.recording.arrays.items():
        assert array.tobytes() == long.recording.arrays[name][: len(array)].tobytes(), name


@pytest.mark.parametrize(("algorithm", "env_id"), KINDS)
def test_networks_act_as_in_stable_baselines3(algorithm: str, env_id: str) -> None:
    recipe = small_recipe(algorithm, env_id, deterministic=True)
    venv = _venv(recipe)
    model: Any = new_model(recipe, venv)
    assert isinstance(model, SAC if algorithm == "sac" else PPO)
    observations = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    expected, _ = model.predict(observations, deterministic=True)
    policy = NetworkPolicy(describe_network(recipe, venv), network_weights(model))
    got = policy.act(observations, np.zeros(100)).actions
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(("algorithm", "env_id"), KINDS)
def test_same_recipe_gives_the_same_bits_and_a_longer_one_extends_them(algorithm: str, env_id: str) -> None:
    recipe = small_recipe(algorithm, env_id)
    run = trained(recipe)
    assert run.steps.tolist() == list(range(48, 289, 48))
    assert run.recording.steps == 288
    again = trained(recipe)
    _assert_prefix(run, again)
    _assert_prefix(again, run)
    _assert_prefix(run, trained(replace(recipe, max_steps=384)))
    aim = float(run.mean_returns[2])
    stopped = trained(replace(recipe, goal=Goal(aim, 0.0, aim, aim, 9_999)))
    assert stopped.steps[-1] == run.steps[run.nearest(aim)]
    _assert_prefix(stopped, run)


def test_evaluations_do_not_change_training() -> None:
    for algorithm in ("sac", "ppo"):
        seldom = trained(small_recipe(algorithm, checkpoint_every=288, evaluation_episodes=1))
        often = trained(small_recipe(algorithm))
        for name, weights in often.weights.items():
            assert weights[-1].tobytes() == seldom.weights[name][0].tobytes()


def test_seeds_differ() -> None:
    one, other = trained(small_recipe()), trained(small_recipe(seed=1))
    assert (one.weights["fc0.weight"] != other.weights["fc0.weight"]).any()
    first = [run.recording.arrays["observations"][0] for run in (one, other)]
    assert (first[0] != first[1]).any()


def test_training_accepts_the_best_checkpoint_in_range() -> None:
    told: list[tuple[int, float]] = []
    recipe = small_recipe(goal=Goal(400.0, 1.0, 0.0, 500.0, settle_after=96))
    environment = training_environment(recipe.env_id, recipe.env_kwargs)
    run = train(recipe, environment, lambda steps, mean_return: told.append((steps, mean_return)))
    assert run.steps.tolist() == [48, 96]
    assert told == list(zip(run.steps, run.mean_returns, strict=True))
    best = run.nearest(400.0)
    assert run.mean_returns[best] == run.mean_returns.max()
    played = environment.score(run.description, run.weights_at(best), recipe.evaluation_episodes, recipe.seed)
    assert played == run.mean_returns[best]


def test_an_unreachable_target_reports_the_nearest_checkpoint() -> None:
    for algorithm in ("sac", "ppo"):
        recipe = small_recipe(algorithm, goal=Goal(450.0, 1.0, 440.0, 460.0, 9_999))
        message = rf"{algorithm.upper()} checkpoint .* from 440\.0 to 460\.0 within 288 steps, got .* try"
        with pytest.raises(InputError, match=message):
            trained(recipe)
    assert Goal(100.0, 2.5, 95.5, 200.0, 0).accepted == "of at least 95.5"


def test_inconsistent_recipes_are_rejected() -> None:
    with pytest.raises(InputError, match="choose from sac, ppo"):
        small_recipe("dqn")
    with pytest.raises(InputError, match="checkpoint_every from 1 to max_steps, 40, got 48"):
        small_recipe(max_steps=40)
    with pytest.raises(InputError, match=r'Discrete.* train with "ppo" instead'):
        trained(small_recipe("sac", "PhysCartPoleDiscrete-v0"))
    with pytest.raises(InputError, match="Unknown environment 'CartPole-v9'"):
        trained(small_recipe("sac", "CartPole-v9"))


def test_recipe_hash_covers_every_field() -> None:
    recipe = small_recipe()
    changes: list[dict[str, Any]] = [
        {"algorithm": "sac"},
        {"env_id": "PhysCartPoleDiscrete-v0"},
        {"env_kwargs": {"push_rate": 1.0}},
        {"hyperparameters": {"net_arch": [8, 8]}},
        {"versions": {"torch": "1"}},
        {"checkpoint_every": 1},
        {"max_steps": 1_000},
        {"goal": Goal(1.0, 1.0, 1.0, 1.0, 1)},
        {"goal": Goal(2.0, 1.0, 1.0, 1.0, 1)},
        {"seed": 1},
        {"deterministic": True},
        {"evaluation_episodes": 6},
    ]
    hashes = {replace(recipe, **change).sha256 for change in changes}
    assert len(hashes) == len(changes)
    assert recipe.sha256 == small_recipe().sha256
    assert recipe.sha256 not in hashes


def test_every_environment_has_settings() -> None:
    for algorithm in ("sac", "ppo"):
        for env_id in ("PhysCartPole-v0", "PhysCartPoleSwingUp-v0", "Pendulum-v1", "Elsewhere-v0"):
            run = training_settings(algorithm, env_id)
            settings = run.hyperparameters
            assert run.checkpoint_every % (settings.get("n_envs", 1) * settings.get("n_steps", 1)) == 0
            assert run.settle_after(50.0) == run.settle_medium_after
            assert run.settle_after(50.0) < run.settle_after(100.0) <= run.max_steps


def test_tiers_select_other_checkpoints() -> None:
    medium, expert = (TIERS[name].selection for name in ("medium", "expert"))
    assert medium is not None
    assert expert is not None
    assert medium.low <= medium.target <= medium.high < expert.low <= expert.target


def test_an_agent_no_better_than_random_is_not_an_expert(tmp_path: Path) -> None:
    gym.register("Test/Even-v0", "tests.backends.test_gymnasium_env:Odd", max_episode_steps=5)
    recipe: dict[str, Any] = {"policy": "sac", "tier": "expert", "steps": 20, "train_steps": 1}
    try:
        with pytest.raises(InputError, match=r"above the 5 of a random policy, .* more --train-steps"):
            build_dataset("Test/Even-v0", **recipe, out=tmp_path)
    finally:
        del gym.registry["Test/Even-v0"]
    assert not list(tmp_path.iterdir())
