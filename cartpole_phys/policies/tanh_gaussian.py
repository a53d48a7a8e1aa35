"""The stochastic actor that Soft Actor-Critic trains, run in NumPy.

Running it here needs neither torch nor Stable-Baselines3, so that a file of ours can be checked and made
again from the weights it carries.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cartpole_phys.rollouts.policy import ActionBatch

Matrix = npt.NDArray[np.float32]

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # as Stable-Baselines3 clips the standard deviation's logarithm
LAYERS = ("latent_pi.0", "latent_pi.2", "mu", "log_std")
WEIGHT_NAMES = tuple(f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias"))


class TanhGaussianPolicy:
    """A two-layer ReLU network whose output is a Gaussian squeezed through tanh (Haarnoja et al. 2018).

    The network is that of Stable-Baselines3's ``SACPolicy.actor``, and so are the names of its weights.
    """

    def __init__(self, weights: Mapping[str, Matrix], deterministic: bool = False) -> None:
        """Take the weights, each (out, in) or (out,); ``deterministic`` plays tanh(mean) without noise."""
        self.weights = {name: np.asarray(weights[name], dtype=np.float32) for name in WEIGHT_NAMES}
        self.deterministic = deterministic
        self._generator = np.random.default_rng(0)

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Draw the noise of the coming episodes from ``generator``."""
        self._generator = generator

    def act(self, observations: Matrix, rewards: npt.NDArray[np.float64]) -> ActionBatch:
        """Actions (n, act) for observations (n, obs), with raw actions and log-probabilities in the infos."""
        mean, log_std = self.distribution(observations)
        if self.deterministic:
            return ActionBatch(np.tanh(mean), {})
        noise = self._generator.standard_normal(mean.shape, dtype=np.float32)
        raw = np.asarray(mean + np.exp(log_std) * noise, dtype=np.float32)
        log_probs = log_prob(raw, mean, log_std)
        return ActionBatch(np.tanh(raw), {"raw_actions": raw, "action_log_probs": log_probs})

    def distribution(self, observations: Matrix) -> tuple[Matrix, Matrix]:
        """Mean and log standard deviation of the Gaussian before tanh, each (n, act)."""
        hidden = observations
        for layer in LAYERS[:2]:
            hidden = np.maximum(self._linear(hidden, layer), 0.0)
        log_std = np.clip(self._linear(hidden, "log_std"), LOG_STD_MIN, LOG_STD_MAX)
        return self._linear(hidden, "mu"), log_std

    def _linear(self, inputs: Matrix, layer: str) -> Matrix:
        return inputs @ self.weights[f"{layer}.weight"].T + self.weights[f"{layer}.bias"]


def log_prob(raw: Matrix, mean: Matrix, log_std: Matrix) -> npt.NDArray[np.float32]:
    """Log-density of the actions tanh(raw), summed over action dimensions, shape (n,).

    Source: Haarnoja et al., "Soft Actor-Critic", appendix C; log(1 − tanh²(u)) is written as
    2 (log 2 − u − log(1 + e^(−2u))), which does not cancel for large u.
    """
    standardised = (raw - mean) / np.exp(log_std)
    gaussian = -0.5 * standardised**2 - log_std - 0.5 * np.log(2 * np.pi)
    squashing = 2.0 * (np.log(2.0) - raw - np.logaddexp(0.0, -2.0 * raw))
    return np.asarray((gaussian - squashing).sum(axis=1), dtype=np.float32)
