"""Networks as a file holds them: a description of plain JSON values, and weights under D4RL's names.

    {"kind": "network", "nonlinearity": "relu" or "tanh", "deterministic": true or false,
     "output_distribution": "tanh_gaussian", "gaussian" or "categorical",
     "action_low": [...], "action_high": [...]}      the bounds only for continuous actions

Weights are float32 and each (outputs, inputs): ``fc0``, ``fc1`` and ``last_fc`` with ``.weight`` and
``.bias``. A tanh_gaussian has a ``last_fc_log_std`` besides, a gaussian a ``log_std`` (act,) that does not
depend on the observation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cartpole_phys.errors import InputError, is_number
from cartpole_phys.rollouts.network import (
    CATEGORICAL,
    GAUSSIAN,
    TANH_GAUSSIAN,
    TILE,
    Layer,
    Matrix,
    Network,
)

Description = Mapping[str, Any]
Weights = Mapping[str, Matrix]

NONLINEARITIES = ("relu", "tanh")
DISTRIBUTIONS = {"tanh_gaussian": TANH_GAUSSIAN, "gaussian": GAUSSIAN, "categorical": CATEGORICAL}


def network_of(description: Description, weights: Weights) -> Network:
    """The network of a description, as kernels read it.

    Raises:
        InputError: if anything is missing, misshaped or not finite.
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
            f"Expected a network's action_low and action_high with {size} numbers each, as its weights have "
            f"outputs, got {len(low)}."
        )
    return Network(
        layers=(
            _padded(first, first_biases),
            _padded(second, second_biases),
            _padded(last, last_biases),
        ),
        squashed=nonlinearity == "tanh",
        distribution=distribution,
        deterministic=deterministic,
        observation_size=first.shape[1],
        size=size,
        low=low,
        high=high,
    )


def actions_of(description: Description) -> tuple[int, Matrix, Matrix]:
    """What the outputs stand for, and the actions' bounds, each (dimensions,); 0 for choices.

    Raises:
        InputError: if the distribution is not known or there are no bounds.
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
        with np.errstate(over="ignore"):  # it gives infinity, which is refused
            bounds = np.array(value, np.float32)
        if np.isfinite(bounds).all():
            return bounds
    raise InputError(f"Expected a network's {name} as a list of finite numbers, got {value!r}.")


def _layer(weights: Weights, name: str, inputs: int | None) -> tuple[Matrix, Matrix]:
    """A layer's weights (outputs, inputs) and biases (outputs,), with any number of inputs if None."""
    matrix = _weight(weights, f"{name}.weight", (None, inputs))
    return matrix, _weight(weights, f"{name}.bias", (len(matrix),))


def _head(weights: Weights, distribution: int, inputs: int) -> tuple[Matrix, Matrix]:
    """The last layer: means over logarithms of standard deviations, or logits.

    A standard deviation that does not depend on the observation has weights of 0.
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
    """A finite float32 array of this shape; None stands for any number above 0."""
    if name not in weights:
        raise InputError(f"Expected the network's weights {name}, there are none.")
    array = np.asarray(weights[name])
    fits = array.ndim == len(shape) and all(
        size == wanted or (wanted is None and size > 0)
        for size, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype != np.float32 or not fits:
        wanted = ", ".join("any" if number is None else str(number) for number in shape)
        raise InputError(
            f"Expected the network's weights {name} as float32 of shape ({wanted}), got {array.dtype} of "
            f"shape {array.shape}; take all weights from one network."
        )
    if not np.isfinite(array).all():
        raise InputError(f"Expected finite numbers in the network's weights {name}, got NaN or infinity.")
    return array


def _padded(matrix: Matrix, biases: Matrix) -> Layer:
    """A layer filled up with zeros to whole tiles."""
    outputs, inputs = (-(-size // TILE) * TILE for size in matrix.shape)
    weights, offsets = np.zeros((outputs, inputs), np.float32), np.zeros(outputs, np.float32)
    weights[: matrix.shape[0], : matrix.shape[1]], offsets[: len(biases)] = matrix, biases
    return Layer(weights, offsets)
