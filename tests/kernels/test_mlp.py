"""Policy networks in kernels compared with plain NumPy and Stable-Baselines3."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from scipy import stats
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, SACPolicy

from cartpole_phys.kernels.mlp import TILE, WIDTH
from cartpole_phys.policies.network import NetworkPolicy, Weights, executed, log_probs
from tests.support.networks import Described, act, constant_network, described, with_description

SPACE = Box(-10.0, 10.0, (4,))
SEEN = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
SAC_NAMES = {"fc0": "latent_pi.0", "fc1": "latent_pi.2", "last_fc": "mu", "last_fc_log_std": "log_std"}
PPO_NAMES = {
    "fc0": "mlp_extractor.policy_net.0",
    "fc1": "mlp_extractor.policy_net.2",
    "last_fc": "action_net",
}


def _linear(weights: Weights, name: str, inputs: np.ndarray) -> np.ndarray:
    matrix, biases = (weights[f"{name}.{part}"].astype(np.float64) for part in ("weight", "bias"))
    return inputs @ matrix.T + biases


def _hidden(what: Described, observations: np.ndarray) -> np.ndarray:
    """Compute the last hidden layer in plain NumPy and float64."""
    description, weights = what
    bend = np.tanh if description["nonlinearity"] == "tanh" else (lambda x: np.maximum(x, 0.0))
    return bend(_linear(weights, "fc1", bend(_linear(weights, "fc0", observations.astype(np.float64)))))


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize(
    ("observation_size", "hidden", "size"),
    [(1, (1, 1), 1), (4, (64, 64), 1), (5, (3, 13), 2), (17, (33, 8), 6), (TILE, (TILE, TILE), TILE)],
)
def test_means_match_plain_numpy(
    nonlinearity: str, observation_size: int, hidden: tuple[int, int], size: int
) -> None:
    what = described(
        "gaussian", nonlinearity, observation_size, size, hidden, deterministic=True, bounds=(-1e6, 1e6)
    )
    observations = np.random.default_rng(1).normal(size=(WIDTH + 3, observation_size)).astype(np.float32)
    actions, infos = act(what, observations)
    expected = _linear(what[1], "last_fc", _hidden(what, observations))
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)
    assert infos == {}


def _weights_of(policy: Any, names: dict[str, str]) -> Weights:
    """Convert the weights of a torch module to the package's names."""
    state = policy.state_dict()
    return {
        f"{ours}.{part}": state[f"{theirs}.{part}"].numpy().copy()
        for ours, theirs in names.items()
        for part in ("weight", "bias")
    }


def test_squashed_gaussian_matches_stable_baselines3() -> None:
    torch.manual_seed(0)
    forces = Box(-2.0, 2.0, (3,))
    policy = SACPolicy(SPACE, forces, lambda _: 1e-3, net_arch=[64, 64])
    actor: Any = policy.actor
    with torch.no_grad():
        actor.log_std.bias += 1.9  # into the clipped range
    description, _ = described("tanh_gaussian", size=3, bounds=(-2.0, 2.0))
    weights = _weights_of(actor, SAC_NAMES)
    calm, _ = act(with_description((description, weights), deterministic=True), SEEN)
    np.testing.assert_allclose(calm, policy.predict(SEEN, deterministic=True)[0], atol=1e-6)
    actions, infos = act((description, weights), SEEN)
    raw = torch.from_numpy(infos["raw_actions"]).double()
    np.testing.assert_allclose(actions, 2.0 * torch.tanh(raw), rtol=1e-6)
    with torch.no_grad():
        latent = actor.double().latent_pi(torch.from_numpy(SEEN).double())
        log_std = actor.log_std(latent)
        assert (log_std > LOG_STD_MAX).any()
        mean, log_std = actor.mu(latent), log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)
        actor.action_dist.epsilon = 0.0  # SB3 adds it to the derivative of tanh for stability
        expected = actor.action_dist.proba_distribution(mean, log_std).log_prob(torch.tanh(raw), raw)
    wide = 3.0 * np.log(2.0)  # SB3 uses the density in [-1, 1]
    inside = (raw.abs() < 10.0).all(dim=1)  # beyond, tanh is 1 even in float64
    assert inside.sum() > 150
    found = infos["action_log_probs"][inside.numpy()]
    np.testing.assert_allclose(found, expected[inside] - wide, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "space"), [("gaussian", Box(-0.5, 0.5, (3,))), ("categorical", Discrete(4))]
)
def test_gaussian_and_categorical_match_stable_baselines3(kind: str, space: Box | Discrete) -> None:
    torch.manual_seed(0)
    policy: Any = ActorCriticPolicy(SPACE, space, lambda _: 1e-3)
    with torch.no_grad():
        policy.action_net.weight *= 50.0  # initially near 0, where all actions are equally likely
    weights = _weights_of(policy, PPO_NAMES)
    if kind == "gaussian":
        with torch.no_grad():
            policy.log_std += torch.tensor([0.3, -1.0, 0.0])
        weights = {**weights, "log_std": policy.log_std.detach().numpy().copy()}
    description, _ = described(kind, "tanh", size=3, bounds=(-0.5, 0.5))
    calm, _ = act(with_description((description, weights), deterministic=True), SEEN)
    np.testing.assert_allclose(calm, policy.predict(SEEN, deterministic=True)[0], atol=1e-6)
    actions, infos = act((description, weights), SEEN)
    acted = torch.from_numpy(infos.get("raw_actions", actions)).double()
    with torch.no_grad():
        latent = policy.double().mlp_extractor.policy_net(torch.from_numpy(SEEN).double())
        expected = policy._get_action_dist_from_latent(latent).log_prob(acted)
    np.testing.assert_allclose(infos["action_log_probs"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("distribution", ["tanh_gaussian", "gaussian", "categorical"])
def test_rows_are_independent_of_other_rows(distribution: str) -> None:
    description, weights = described(distribution, "tanh", size=3)
    calm = with_description((description, weights), deterministic=True)
    actions, infos = act((description, weights), SEEN)
    acted = infos.get("raw_actions", actions)
    means, _ = act(calm, SEEN)
    for first, last in ((0, 1), (5, 6), (0, WIDTH), (3, WIDTH + 4), (100, 300)):
        rows = slice(first, last)
        np.testing.assert_array_equal(act(calm, SEEN[rows])[0], means[rows])
        np.testing.assert_array_equal(
            log_probs(description, weights, SEEN[rows], acted[rows]), infos["action_log_probs"][rows]
        )
    again, _ = act((description, weights), SEEN)
    np.testing.assert_array_equal(again, actions)


def test_overflowing_rows_do_not_affect_others() -> None:
    description, weights = described("gaussian", observation_size=1, hidden=(1, 8), deterministic=True)
    calm = description, {**weights, "fc0.weight": np.full((1, 1), 10.0, np.float32)}
    usual = np.random.default_rng(0).normal(size=(WIDTH, 1)).astype(np.float32)
    vast = np.full((WIDTH, 1), np.finfo(np.float32).max, np.float32)
    together, _ = act(calm, np.concatenate([vast, usual]))
    np.testing.assert_array_equal(together[WIDTH:], act(calm, usual)[0])


def test_batch_noise_is_normal() -> None:
    policy = NetworkPolicy(*constant_network("gaussian", last_fc__bias=[0.0, 0.0], log_std=[0.0, 0.0]))
    policy.begin(50_000, np.random.default_rng(0))
    observations = np.zeros((50_000, 4), np.float32)
    first, second = (policy.act(observations, np.zeros(50_000)).infos["raw_actions"] for _ in range(2))
    drawn = np.concatenate([first, second], axis=1).astype(np.float64)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 4.0 / np.sqrt(50_000)


def test_categorical_frequencies_match_probabilities() -> None:
    logits = [0.3, -1.0, 2.0, 0.3]
    what = constant_network("categorical", last_fc__bias=logits)
    actions, infos = act(what, np.zeros((100_000, 4), np.float32))
    expected = np.exp(logits) / np.exp(logits).sum()
    counts = np.bincount(actions, minlength=4)
    assert stats.chisquare(counts, 100_000 * expected).pvalue > 0.01
    np.testing.assert_allclose(infos["action_log_probs"], np.log(expected)[actions], rtol=1e-6)
    calm, _ = act(with_description(what, deterministic=True), np.zeros((3, 4), np.float32))
    np.testing.assert_array_equal(calm, [2, 2, 2])


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-2.0, 6.0)])
def test_densities_of_squashed_actions_sum_to_one(bounds: tuple[float, float]) -> None:
    low, high = bounds
    still = constant_network("tanh_gaussian", last_fc__bias=[0.4], last_fc_log_std__bias=[0.2])
    description, weights = with_description(still, action_low=[low], action_high=[high])
    raw = np.linspace(-9.0, 9.0, 20_001, dtype=np.float32)[:, None]
    found = log_probs(description, weights, np.zeros((len(raw), 4), np.float32), raw)
    exact = 0.5 * (low + high) + 0.5 * (high - low) * np.tanh(raw[:, 0].astype(np.float64))
    assert np.trapezoid(np.exp(found.astype(np.float64)), exact) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(executed(description, raw)[:, 0], exact, rtol=1e-6, atol=1e-6)


def test_small_deviations_are_clipped() -> None:
    what = constant_network("tanh_gaussian", last_fc__bias=[0.0], last_fc_log_std__bias=[-30.0])
    found = log_probs(*what, np.zeros((1, 4), np.float32), np.zeros((1, 1), np.float32))
    assert found[0] == pytest.approx(-LOG_STD_MIN - 0.5 * np.log(2.0 * np.pi), rel=1e-6)


def test_large_inputs_do_not_overflow() -> None:
    description, weights = described("tanh_gaussian", hidden=(8, 8))
    raw = np.array([[-1e4], [-50.0], [50.0], [1e4]], np.float32)
    observations = np.tile(np.array([1e3, -1e3, 1e3, -1e3], np.float32), (4, 1))
    assert np.isfinite(log_probs(description, weights, observations, raw)).all()
    np.testing.assert_array_equal(executed(description, raw)[:, 0], [-1.0, -1.0, 1.0, 1.0])


def test_bounds_clip_gaussians_but_not_their_densities() -> None:
    what = described("gaussian", size=2, bounds=(-0.1, 0.3))
    actions, infos = act(what, SEEN)
    np.testing.assert_array_equal(actions, np.clip(infos["raw_actions"], np.float32(-0.1), np.float32(0.3)))
    assert (infos["raw_actions"] > 0.3).any()
