"""Soft Actor-Critic: the NumPy actor is Stable-Baselines3's, training repeats, the cache answers."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

import cartpole_phys
from cartpole_phys.errors import InputError
from cartpole_phys.policies.behaviour import from_description
from cartpole_phys.policies.sac import agent
from cartpole_phys.policies.sac_recipe import SacRecipe
from cartpole_phys.policies.sac_training import train
from cartpole_phys.policies.tanh_gaussian import WEIGHT_NAMES, TanhGaussianPolicy, log_prob
from cartpole_phys.rollout import play
from cartpole_phys.system import CartPole

gym.register_envs(cartpole_phys)


def _actor_and_policy() -> tuple[SAC, TanhGaussianPolicy]:
    model = SAC(
        "MlpPolicy", gym.make("PhysCartPole-v0"), policy_kwargs={"net_arch": [64, 64]}, seed=1, device="cpu"
    )
    state = model.policy.actor.state_dict()
    return model, TanhGaussianPolicy({name: state[name].numpy() for name in WEIGHT_NAMES}, deterministic=True)


def test_actor_is_stable_baselines3s() -> None:
    model, policy = _actor_and_policy()
    observations = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    expected, _ = model.predict(observations, deterministic=True)
    np.testing.assert_allclose(policy.act(observations, np.zeros(100)).actions, expected, atol=1e-6)


def test_log_probabilities_are_stable_baselines3s() -> None:
    model, policy = _actor_and_policy()
    observations = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    mean, log_std = policy.distribution(observations)
    raw = mean + np.exp(log_std) * np.random.default_rng(1).normal(size=mean.shape).astype(np.float32)
    with torch.no_grad():
        actor: Any = model.policy.actor
        mean_t, log_std_t, _ = actor.get_action_dist_params(torch.from_numpy(observations))
        distribution = actor.action_dist.proba_distribution(mean_t, log_std_t)
        expected = distribution.log_prob(torch.tanh(torch.from_numpy(raw)), torch.from_numpy(raw)).numpy()
    np.testing.assert_allclose(log_prob(raw, mean, log_std), expected, atol=1e-3)


def test_sampled_actions_have_their_distribution() -> None:
    _, policy = _actor_and_policy()
    policy.deterministic = False
    policy.begin(200_000, np.random.default_rng(3))
    observation = np.tile(np.array([[0.1, -0.2, 0.05, 0.3]], np.float32), (200_000, 1))
    batch = policy.act(observation, np.zeros(len(observation)))
    mean, log_std = policy.distribution(observation[:1])
    raw = batch.infos["raw_actions"]
    assert abs(raw.mean() - mean[0, 0]) < 0.01
    assert abs(raw.std() / np.exp(log_std[0, 0]) - 1) < 0.01
    np.testing.assert_array_equal(batch.actions, np.tanh(raw))
    density = np.histogram(batch.actions, bins=50, range=(-1, 1), density=True)[0]
    inside = np.digitize(batch.actions[:, 0], np.linspace(-1, 1, 51)) - 1
    per_bin = np.bincount(inside, np.exp(batch.infos["action_log_probs"]), 50) / np.maximum(
        np.bincount(inside, minlength=50), 1
    )
    full = density > 0.3
    np.testing.assert_allclose(per_bin[full], density[full], rtol=0.1)


def _recipe(target: float, **changes: object) -> SacRecipe:
    fields = {
        "close_enough": 5.0,
        "low_return": target - 15,
        "high_return": target + 15,
        "settle_after": 1_500,
        "max_steps": 1_500,
        **changes,
    }
    return SacRecipe("PhysCartPole-v0", {}, target, **fields)  # type: ignore[arg-type]


def test_training_repeats_and_the_cache_answers(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    recipe = _recipe(40.0)
    told: list[int] = []
    trained = agent(recipe, on_checkpoint=lambda steps, mean_return: told.append(steps))
    assert told == list(range(100, told[-1] + 1, 100))
    assert trained.steps in told
    assert recipe.low_return <= trained.mean_return <= recipe.high_return
    cached = agent(recipe, on_checkpoint=lambda *_: pytest.fail("the cache was not asked"))
    again = agent(recipe, retrain=True)
    for other in (cached, again):
        assert (other.steps, other.mean_return) == (trained.steps, trained.mean_return)
        for name in WEIGHT_NAMES:
            np.testing.assert_array_equal(other.weights[name], trained.weights[name])
    replayed = play(CartPole(), TanhGaussianPolicy(trained.weights), recipe.evaluation_episodes, recipe.seed)
    assert replayed.returns.mean() == trained.mean_return


def test_a_cache_that_cannot_be_written_costs_only_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no-cache")
    assert agent(_recipe(25.0)).steps >= 100


def test_unreachable_target_says_what_came_nearest() -> None:
    with pytest.raises(InputError, match=r"within 300 steps, got .* as the nearest; try another --seed"):
        train(_recipe(450.0, max_steps=300))


def test_recipe_hash_sees_every_field() -> None:
    a = _recipe(40.0)
    others = [
        _recipe(41.0),
        _recipe(40.0, seed=1),
        _recipe(40.0, hidden_sizes=(32, 32)),
        _recipe(40.0, versions={}),
    ]
    assert a.sha256 == _recipe(40.0).sha256
    assert a.sha256 not in {other.sha256 for other in others}


def test_descriptions_that_cannot_act_are_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"kind": "oracle"}, "kind out of"),
        ({"kind": "tanh_gaussian", "deterministic": False}, "is missing"),
        ({"kind": "proportional", "gain": 1.0}, "not complete"),
    ]
    for description, message in cases:
        with pytest.raises(InputError, match=message):
            from_description(description, {})


def test_build_medium_passes_every_gate(tmp_path_factory: pytest.TempPathFactory) -> None:
    from cartpole_phys import build_dataset, check, load_dataset

    path = build_dataset(
        policy="sac", tier="medium", steps=20_000, out=tmp_path_factory.mktemp("sac"), retrain=True
    )
    assert {result.status for result in check(path)} == {"passed"}
    data = load_dataset(path)
    assert data.metadata["parts"][0]["algorithm"] == "SAC"
    assert 40 <= data.metadata["scores"][0]["score"] <= 60
    np.testing.assert_array_equal(np.tanh(data.infos["raw_actions"]), data.actions)
    assert np.isfinite(data.infos["action_log_probs"]).all()
    again = build_dataset(policy="sac", tier="medium", steps=20_000, out=tmp_path_factory.mktemp("sac"))
    assert load_dataset(again).metadata["sha256"] == data.metadata["sha256"]
