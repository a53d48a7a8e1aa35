"""Compiled policy network: two hidden layers and a head, float32, bit-for-bit equal on every processor.

Rows are processed in blocks of ``WIDTH`` lanes, contiguous in memory. Each lane sums over inputs in a fixed
order, so a row's outputs depend neither on other rows nor on the processor, and loops over lanes are
vectorized.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.numeric.elementary import tanh
from cartpole_phys.utils.typing import FloatArray, Matrix

WIDTH = 64  # rows per block: its activations fit the L1 cache
TILE = 4  # inputs and outputs per tile; layers are padded to whole tiles with zeros

TANH_GAUSSIAN, GAUSSIAN, CATEGORICAL = range(3)  # action distributions
LOG_STD_MIN, LOG_STD_MAX = np.float32(-20.0), np.float32(2.0)  # of a TANH_GAUSSIAN, as SAC clips it

Weights4 = tuple[np.float32, np.float32, np.float32, np.float32]


class Layer(NamedTuple):
    """An affine layer, padded with zeros to whole tiles."""

    weights: Matrix  # (outputs, inputs)
    biases: Matrix  # (outputs,)


class Network(NamedTuple):
    """A policy network with its action distribution, in the kernels' format."""

    layers: tuple[Layer, Layer, Layer]  # outputs of the last: means, then log standard deviations; or logits
    tanh_hidden: bool  # whether the hidden activation is tanh instead of ReLU
    distribution: int
    deterministic: bool
    observation_size: int
    size: int  # dimensions of a continuous action, or choices
    low: Matrix  # (dimensions,), bounds of continuous actions
    high: Matrix  # (dimensions,)

    def __eq__(self, other: object) -> bool:
        return self is other  # arrays have no single truth value

    def __hash__(self) -> int:
        return id(self)


NO_LAYER = Layer(np.empty((0, 0), np.float32), np.empty(0, np.float32))
NO_NETWORK = Network(
    (NO_LAYER, NO_LAYER, NO_LAYER),
    False,
    GAUSSIAN,
    True,
    0,
    0,
    NO_LAYER.biases,
    NO_LAYER.biases,
)


class Block(NamedTuple):
    """Buffers for ``WIDTH`` rows, from observations to actions."""

    inputs: Matrix  # (units, WIDTH), of the first and the last layer
    outputs: Matrix  # (units, WIDTH), of the first and the last layer
    noise: FloatArray  # (dimensions, WIDTH)
    samples: Matrix  # (dimensions, WIDTH), of the distribution: raw actions, or choices
    actions: Matrix  # (dimensions, WIDTH)
    log_probs: FloatArray  # (WIDTH,)
    max_logits: FloatArray  # (WIDTH,), largest logits
    exp_sums: FloatArray  # (WIDTH,), sums of e^(logit − largest) over all choices
    cumulative: FloatArray  # (WIDTH,), partial sums of the same


def recorded(network: Network | None) -> tuple[bool, bool]:
    """Whether raw actions, and whether log-probabilities, are recorded for a network."""
    if network is None or network.deterministic:
        return False, False
    return network.distribution != CATEGORICAL, True


def infos_of(network: Network, raw_actions: Matrix, log_probs: Matrix) -> dict[str, Matrix]:
    """The infos to record with a network's actions: raw actions (n, dimensions), log-probabilities (n,)."""
    raw, probable = recorded(network)
    return {
        **({"raw_actions": raw_actions} if raw else {}),
        **({"action_log_probs": log_probs} if probable else {}),
    }


@inlined
def empty_block(network: Network) -> Block:
    """Allocate the buffers of a block."""
    units, numbers = network.layers[0].weights.shape[1], len(network.low)
    for k in range(3):
        units = max(units, len(network.layers[k].biases))
    return Block(
        np.zeros((units, WIDTH), np.float32),
        np.zeros((units, WIDTH), np.float32),
        np.zeros((numbers, WIDTH)),
        np.zeros((numbers, WIDTH), np.float32),
        np.zeros((numbers, WIDTH), np.float32),
        np.zeros(WIDTH),
        np.zeros(WIDTH),
        np.zeros(WIDTH),
        np.zeros(WIDTH),
    )


@inlined
def _four(weights: Matrix, output: int, first: int) -> Weights4:
    """The weights of one output for four inputs."""
    return (
        weights[output, first],
        weights[output, first + 1],
        weights[output, first + 2],
        weights[output, first + 3],
    )


@inlined
def _add(total: np.float32, weights: Weights4, inputs: Weights4) -> np.float32:
    """Add four products to ``total``, in order."""
    total += weights[0] * inputs[0]
    total += weights[1] * inputs[1]
    total += weights[2] * inputs[2]
    return total + weights[3] * inputs[3]


@inlined
def _affine(layer: Layer, inputs: Matrix, outputs: Matrix) -> None:
    """Write a layer's outputs (outputs, WIDTH) for inputs (inputs, WIDTH), tile by tile."""
    weights, biases = layer
    for o in range(0, len(biases), TILE):
        b0, b1, b2, b3 = biases[o], biases[o + 1], biases[o + 2], biases[o + 3]
        for lane in range(WIDTH):
            outputs[o, lane], outputs[o + 1, lane] = b0, b1
            outputs[o + 2, lane], outputs[o + 3, lane] = b2, b3
        for i in range(0, weights.shape[1], TILE):
            w0, w1 = _four(weights, o, i), _four(weights, o + 1, i)
            w2, w3 = _four(weights, o + 2, i), _four(weights, o + 3, i)
            for lane in range(WIDTH):
                four = inputs[i, lane], inputs[i + 1, lane], inputs[i + 2, lane], inputs[i + 3, lane]
                sum_0, sum_1 = _add(outputs[o, lane], w0, four), _add(outputs[o + 1, lane], w1, four)
                sum_2, sum_3 = _add(outputs[o + 2, lane], w2, four), _add(outputs[o + 3, lane], w3, four)
                outputs[o, lane], outputs[o + 1, lane] = sum_0, sum_1
                outputs[o + 2, lane], outputs[o + 3, lane] = sum_2, sum_3


@inlined
def _activate(tanh_hidden: bool, hidden: Matrix, units: int) -> None:
    """Apply the activation function in place."""
    for row in range(units):
        if tanh_hidden:
            for lane in range(WIDTH):
                hidden[row, lane] = tanh(np.float64(hidden[row, lane]))
        else:
            for lane in range(WIDTH):
                hidden[row, lane] = max(hidden[row, lane], np.float32(0.0))


@inlined
def forward(network: Network, block: Block) -> None:
    """Write the block's outputs for its inputs."""
    inputs, outputs = block.inputs, block.outputs
    for k in range(3):
        layer = network.layers[k]
        _affine(layer, inputs, outputs)
        if k < 2:
            _activate(network.tanh_hidden, outputs, len(layer.biases))
            inputs, outputs = outputs, inputs
    if network.distribution == TANH_GAUSSIAN:
        for row in range(network.size, 2 * network.size):
            for lane in range(WIDTH):
                block.outputs[row, lane] = min(max(block.outputs[row, lane], LOG_STD_MIN), LOG_STD_MAX)
