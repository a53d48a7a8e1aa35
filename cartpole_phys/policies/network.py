"""Trained networks as policies: compiled for this package's environments, or in Python for any environment.

Log-probabilities and executed actions can be recomputed bit for bit from recorded rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels.action_distributions import act_rows, execute_rows, log_prob_rows
from cartpole_phys.kernels.control_laws import NETWORK
from cartpole_phys.kernels.mlp import CATEGORICAL, GAUSSIAN, TANH_GAUSSIAN, TILE, Layer, Network, infos_of
from cartpole_phys.numeric.philox import normals
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.utils.errors import InputError, is_number
from cartpole_phys.utils.typing import Array, FloatArray, IntArray, Matrix


def compiled_network(description: Description, weights: Weights) -> CompiledPolicy:
    """A network as a compiled policy for this package's environments.

    Raises:
        InputError: if anything is missing, of a wrong shape or not finite, or the action is neither one
            number in [-1, 1] nor one of two discrete actions.
    """
    network = network_of(description, weights)
    low, high = network.low.tolist(), network.high.tolist()
    if network.distribution == CATEGORICAL and network.size != 2:
        raise InputError(
            f"Expected a network with a cart-pole's 2 discrete actions, got one with {network.size}; use it "
            "in the environment that it was trained in."
        )
    if network.distribution != CATEGORICAL and (low, high) != ([-1.0], [1.0]):
        raise InputError(
            "Expected a network for a cart-pole, whose action is one number in [-1, 1], got the bounds "
            f"{low} and {high}; use it in the environment that it was trained in."
        )
    return CompiledPolicy(NETWORK, network=network)


class NetworkPolicy:
    """A network as a Python ``Policy``, for any environment.

    A row's action depends only on its observation and noise, not on other rows.
    """

    def __init__(self, description: Description, weights: Weights) -> None:
        """Load the network.

        Raises:
            InputError: if anything is missing, of a wrong shape or not finite.
        """
        self._network = network_of(description, weights)
        self._generator = np.random.default_rng(0)

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Draw the noise of the coming episodes from ``generator``."""
        self._generator = generator

    def act(self, observations: npt.NDArray[np.floating], rewards: FloatArray) -> ActionBatch:
        """Continuous actions (n, act) or discrete ones (n,) for observations (n, obs), with infos to record.

        Raises:
            InputError: if the observation size differs from the network's inputs.
        """
        network, checked = self._network, _checked(self._network, observations)
        shape = len(checked), len(network.low)  # (n, dimensions)
        actions, raw_actions = np.empty(shape, np.float32), np.empty(shape, np.float32)
        log_probs = np.empty(len(checked), np.float32)
        act_rows(network, checked, self._noise(shape), actions, raw_actions, log_probs)
        infos = infos_of(network, raw_actions, log_probs)
        return ActionBatch(_as_discrete(actions) if network.distribution == CATEGORICAL else actions, infos)

    def _noise(self, shape: tuple[int, int]) -> FloatArray:
        if self._network.deterministic:
            return np.zeros(shape)
        if self._network.distribution == CATEGORICAL:
            return self._generator.random(shape)
        return normals(1.0 - self._generator.random(shape), self._generator.random(shape))


def log_probs(
    description: Description, weights: Weights, observations: Matrix, raw_or_actions: Array
) -> Matrix:
    """Recompute the log-probabilities (N,) of recorded actions, bit for bit.

    Args:
        description: of the network.
        weights: of the network.
        observations: (N, obs) float32.
        raw_or_actions: the recorded raw actions (N, act) float32, or the discrete actions (N,).

    Raises:
        InputError: if anything is missing, misshaped or not finite.
    """
    network = network_of(description, weights)
    checked, actions = _checked(network, observations), _for_kernels(raw_or_actions)
    rows, size = len(checked), len(network.low)
    shape = (rows,) if network.distribution == CATEGORICAL else (rows, size)
    if actions.shape != shape:
        raise InputError(f"Expected actions of shape {shape} for these observations, got {actions.shape}.")
    found = np.empty(rows, np.float32)
    log_prob_rows(network, checked, actions.reshape(rows, size), found)  # (N,) -> (N, 1)
    return found


def executed(description: Description, raw_actions: Matrix) -> Matrix:
    """The executed actions (N, act) of raw actions (N, act): squashed or clipped to the bounds.

    Raises:
        InputError: if the bounds and the actions differ in size.
    """
    distribution, low, high = actions_of(description)
    raw = _for_kernels(raw_actions)
    if raw.ndim != 2 or raw.shape[1] != len(low):
        raise InputError(f"Expected raw actions of shape (N, {len(low)}), got {raw.shape}.")
    actions = np.empty_like(raw)
    execute_rows(distribution, low, high, raw, actions)
    return actions


def _as_discrete(actions: Matrix) -> IntArray:
    return actions[:, 0].astype(np.int64)  # (n, 1) -> (n,)


def _for_kernels(array: Array) -> Matrix:
    """Convert to a writable float32 array: numba would compile the kernels again for read-only arrays."""
    return np.require(array, np.float32, ["C", "W"])


def _checked(network: Network, observations: npt.NDArray[np.floating]) -> Matrix:
    """Check the shape of observations, and convert them for kernels."""
    checked = _for_kernels(observations)
    if checked.ndim != 2 or checked.shape[1] != network.observation_size:
        raise InputError(
            f"Expected observations of shape (n, {network.observation_size}), as in the network's training, "
            f"got {checked.shape}."
        )
    return checked


Description = Mapping[str, Any]
Weights = Mapping[str, Matrix]

NONLINEARITIES = ("relu", "tanh")
DISTRIBUTIONS = {"tanh_gaussian": TANH_GAUSSIAN, "gaussian": GAUSSIAN, "categorical": CATEGORICAL}


def network_of(description: Description, weights: Weights) -> Network:
    """The network of a description, in the kernels' format.

    Raises:
        InputError: if anything is missing, of a wrong shape or not finite.
    """
    distribution, low, high = actions_of(description)
    nonlinearity = _one_of(description, "nonlinearity", NONLINEARITIES)
    deterministic = description.get("deterministic")
    if not isinstance(deterministic, bool):
        raise InputError(f"Expected a network's deterministic as true or false, got {deterministic!r}.")
    first, first_biases = _layer(weights, "fc0", None)
    second, second_biases = _layer(weights, "fc1", len(first))
    last, last_biases = _head(weights, distribution, len(second))
    size = len(last) if distribution == CATEGORICAL else len(last) // 2
    if distribution != CATEGORICAL and size != len(low):
        raise InputError(
            f"Expected a network's action_low and action_high with {size} numbers each, one for each output, "
            f"got {len(low)}."
        )
    return Network(
        layers=(
            _padded(first, first_biases),
            _padded(second, second_biases),
            _padded(last, last_biases),
        ),
        tanh_hidden=nonlinearity == "tanh",
        distribution=distribution,
        deterministic=deterministic,
        observation_size=first.shape[1],
        size=size,
        low=low,
        high=high,
    )


def actions_of(description: Description) -> tuple[int, Matrix, Matrix]:
    """The action distribution, and the action bounds, each (dimensions,); 0 for discrete actions.

    Raises:
        InputError: if the distribution is unknown or there are no bounds.
    """
    distribution = DISTRIBUTIONS[_one_of(description, "output_distribution", tuple(DISTRIBUTIONS))]
    if distribution == CATEGORICAL:
        return distribution, np.zeros(1, np.float32), np.zeros(1, np.float32)
    low, high = (_bounds(description, name) for name in ("action_low", "action_high"))
    if len(low) != len(high) or not (low < high).all():
        raise InputError(
            f"Expected a network's action_low below its action_high, got {low.tolist()} and {high.tolist()}."
        )
    return distribution, low, high


def _one_of(description: Description, name: str, known: Sequence[str]) -> str:
    value = description.get(name)
    if value not in known:
        raise InputError(f"Expected a network's {name} out of {', '.join(known)}, got {value!r}.")
    return str(value)


def _bounds(description: Description, name: str) -> Matrix:
    value = description.get(name)
    if isinstance(value, list | tuple) and value and all(is_number(number) for number in value):
        with np.errstate(over="ignore"):  # an overflow gives infinity, which is refused below
            bounds = np.array(value, np.float32)
        if np.isfinite(bounds).all():
            return bounds
    raise InputError(f"Expected a network's {name} as a list of finite numbers, got {value!r}.")


def _layer(weights: Weights, name: str, inputs: int | None) -> tuple[Matrix, Matrix]:
    """A layer's weights (outputs, inputs) and biases (outputs,), with any number of inputs if None."""
    matrix = _weight(weights, f"{name}.weight", (None, inputs))
    return matrix, _weight(weights, f"{name}.bias", (len(matrix),))


def _head(weights: Weights, distribution: int, inputs: int) -> tuple[Matrix, Matrix]:
    """The last layer: means, then log standard deviations; or logits.

    A state-independent standard deviation has weights of 0.
    """
    matrix, biases = _layer(weights, "last_fc", inputs)
    if distribution == CATEGORICAL:
        return matrix, biases
    if distribution == GAUSSIAN:
        spread, spread_biases = np.zeros_like(matrix), _weight(weights, "log_std", (len(matrix),))
    else:
        spread = _weight(weights, "last_fc_log_std.weight", matrix.shape)
        spread_biases = _weight(weights, "last_fc_log_std.bias", biases.shape)
    return np.concatenate([matrix, spread]), np.concatenate([biases, spread_biases])  # (act, …) -> (2 act, …)


def _weight(weights: Weights, name: str, shape: tuple[int | None, ...]) -> Matrix:
    """Check that weights are a finite float32 array of this shape; None matches any size above 0."""
    if name not in weights:
        raise InputError(f"Expected the network's weights {name}, but they are missing.")
    array = np.asarray(weights[name])
    fits = array.ndim == len(shape) and all(
        size == expected or (expected is None and size > 0)
        for size, expected in zip(array.shape, shape, strict=True)
    )
    if array.dtype != np.float32 or not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(
            f"Expected the network's weights {name} as float32 of shape ({sizes}), got {array.dtype} of "
            f"shape {array.shape}; take all weights from one network."
        )
    if not np.isfinite(array).all():
        raise InputError(f"Expected finite numbers in the network's weights {name}, got NaN or infinity.")
    return array


def _padded(matrix: Matrix, biases: Matrix) -> Layer:
    """Layer padded with zeros to a multiple of the tile size."""
    outputs, inputs = (-(-size // TILE) * TILE for size in matrix.shape)
    weights, offsets = np.zeros((outputs, inputs), np.float32), np.zeros(outputs, np.float32)
    weights[: matrix.shape[0], : matrix.shape[1]], offsets[: len(biases)] = matrix, biases
    return Layer(weights, offsets)
