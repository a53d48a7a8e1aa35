"""Trained networks as policies: in this package's own rollouts, and for any environment's batches.

What they did can be computed again from recorded rows: its log-probabilities, and the executed actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.errors import InputError
from cartpole_phys.memory import FloatArray
from cartpole_phys.numeric.random_stream import normals
from cartpole_phys.policies.network_format import Description, Weights, actions_of, network_of
from cartpole_phys.rollouts.distributions import act_rows, execute_rows, log_prob_rows
from cartpole_phys.rollouts.laws import NETWORK
from cartpole_phys.rollouts.network import CATEGORICAL, Matrix, Network, infos_of
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy


def compiled_network(description: Description, weights: Weights) -> CompiledPolicy:
    """The network as a policy for this package's own systems.

    Raises:
        InputError: if anything is missing, misshaped or not finite, or actions are not one number in [-1, 1]
            or one of two choices.
    """
    network = network_of(description, weights)
    low, high = network.low.tolist(), network.high.tolist()
    if network.distribution == CATEGORICAL and network.size != 2:
        raise InputError(
            f"Expected a network with a cart-pole's 2 choices, got one with {network.size}; let it act "
            "in the environment that it was trained in."
        )
    if network.distribution != CATEGORICAL and (low, high) != ([-1.0], [1.0]):
        raise InputError(
            "Expected a network whose action is one number in [-1, 1], as a cart-pole's is, got the bounds "
            f"{low} and {high}; let it act in the environment that it was trained in."
        )
    return CompiledPolicy(NETWORK, network=network)


class NetworkPolicy:
    """A network behind the ``Policy`` protocol, for any environment that it was trained in.

    A row's action depends on its observation and its noise alone, not on the rows beside it.
    """

    def __init__(self, description: Description, weights: Weights) -> None:
        """Take the network.

        Raises:
            InputError: if anything is missing, misshaped or not finite.
        """
        self._network = network_of(description, weights)
        self._generator = np.random.default_rng(0)

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Draw the noise of the coming episodes from ``generator``."""
        self._generator = generator

    def act(self, observations: npt.NDArray[np.floating], rewards: FloatArray) -> ActionBatch:
        """Actions (n, act) or choices (n,) for observations (n, obs), and what is recorded of them.

        Raises:
            InputError: if the observations have another size than the network's inputs.
        """
        network, seen = self._network, _checked(self._network, observations)
        shape = len(seen), len(network.low)  # (n, dimensions)
        actions, raw_actions = np.empty(shape, np.float32), np.empty(shape, np.float32)
        log_probs = np.empty(len(seen), np.float32)
        act_rows(network, seen, self._noise(shape), actions, raw_actions, log_probs)
        infos = infos_of(network, raw_actions, log_probs)
        return ActionBatch(_as_choices(actions) if network.distribution == CATEGORICAL else actions, infos)

    def _noise(self, shape: tuple[int, int]) -> FloatArray:
        if self._network.deterministic:
            return np.zeros(shape)
        if self._network.distribution == CATEGORICAL:
            return self._generator.random(shape)
        return normals(1.0 - self._generator.random(shape), self._generator.random(shape))


def log_probs(
    description: Description, weights: Weights, observations: Matrix, raw_or_actions: npt.NDArray[Any]
) -> Matrix:
    """The log-probabilities (N,) that a rollout recorded, computed again, to the last bit.

    Args:
        description: of the network.
        weights: of the network.
        observations: (N, obs) float32.
        raw_or_actions: the recorded raw actions (N, act) float32, or the choices (N,).

    Raises:
        InputError: if anything is missing, misshaped or not finite.
    """
    network = network_of(description, weights)
    seen = _checked(network, observations)
    acted = _as_kernels_take(raw_or_actions)
    shape = (len(seen),) if network.distribution == CATEGORICAL else (len(seen), len(network.low))
    if acted.shape != shape:
        raise InputError(f"Expected actions of shape {shape} for these observations, got {acted.shape}.")
    found = np.empty(len(seen), np.float32)
    log_prob_rows(network, seen, acted.reshape(len(seen), len(network.low)), found)  # (N,) -> (N, 1)
    return found


def executed(description: Description, raw_actions: Matrix) -> Matrix:
    """The actions (N, act) that raw ones (N, act) stand for: squashed or clipped into the bounds.

    Raises:
        InputError: if the description has no bounds for so many numbers.
    """
    distribution, low, high = actions_of(description)
    raw = _as_kernels_take(raw_actions)
    if raw.ndim != 2 or raw.shape[1] != len(low):
        raise InputError(f"Expected raw actions of shape (N, {len(low)}), got {raw.shape}.")
    actions = np.empty_like(raw)
    execute_rows(distribution, low, high, raw, actions)
    return actions


def _as_choices(actions: Matrix) -> npt.NDArray[np.int64]:
    return actions[:, 0].astype(np.int64)  # (n, 1) -> (n,)


def _as_kernels_take(array: npt.NDArray[Any]) -> Matrix:
    """An array as it was given or a copy: kernels are compiled anew for read-only arrays."""
    return np.require(array, np.float32, ["C", "W"])


def _checked(network: Network, observations: npt.NDArray[np.floating]) -> Matrix:
    """The observations as kernels take them."""
    seen = _as_kernels_take(observations)
    if seen.ndim != 2 or seen.shape[1] != network.observation_size:
        raise InputError(
            f"Expected observations of shape (n, {network.observation_size}), as the network was trained "
            f"with, got {seen.shape}."
        )
    return seen
