"""Action distributions of policy networks: sampling, log-probabilities and executed actions.

Everything is computed from float32 outputs and float32 raw actions in float64 and then rounded, so that
log-probabilities can be recomputed bit for bit from the arrays in a file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels.mlp import CATEGORICAL, TANH_GAUSSIAN, WIDTH, Block, Network, empty_block, forward
from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.elementary import exp, log, softplus, tanh
from cartpole_phys.utils.typing import FloatArray, Matrix, Observations

LOG_TWO = 0.69314718055994530942
HALF_LOG_TWO_PI = 0.91893853320467274178  # ½ log 2π


@inlined
def _draw_gaussian(network: Network, block: Block) -> None:
    """Sample raw actions with standard normal noise; noise of 0 gives the means."""
    means, log_stds = block.outputs, block.outputs[network.size :]
    for j in range(network.size):
        for lane in range(WIDTH):
            spread = exp(np.float64(log_stds[j, lane])) * block.noise[j, lane]
            block.samples[j, lane] = np.float64(means[j, lane]) + spread


@inlined
def _sum_exponentials(network: Network, block: Block) -> None:
    """Write each lane's largest logit, and the sum of e^(logit − largest)."""
    for lane in range(WIDTH):
        block.max_logits[lane], block.exp_sums[lane] = np.float64(block.outputs[0, lane]), 0.0
    for j in range(1, network.size):
        for lane in range(WIDTH):
            block.max_logits[lane] = max(block.max_logits[lane], np.float64(block.outputs[j, lane]))
    for j in range(network.size):
        for lane in range(WIDTH):
            block.exp_sums[lane] += exp(np.float64(block.outputs[j, lane]) - block.max_logits[lane])


@inlined
def _draw_categorical(network: Network, block: Block) -> None:
    """Sample choices: the first whose cumulative probability exceeds the uniform noise."""
    for lane in range(WIDTH):
        block.samples[0, lane], block.cumulative[lane] = 0.0, 0.0
    for j in range(network.size - 1):
        for lane in range(WIDTH):
            block.cumulative[lane] += exp(np.float64(block.outputs[j, lane]) - block.max_logits[lane])
            passed = block.cumulative[lane] <= block.noise[0, lane] * block.exp_sums[lane]
            block.samples[0, lane] += np.float32(passed)


@inlined
def _take_mode(network: Network, block: Block) -> None:
    """Take the choice with the largest logit, the first one in a tie."""
    for lane in range(WIDTH):
        block.samples[0, lane] = np.float32(network.size - 1)
    for j in range(network.size - 2, -1, -1):
        for lane in range(WIDTH):
            if np.float64(block.outputs[j, lane]) == block.max_logits[lane]:
                block.samples[0, lane] = np.float32(j)


@inlined
def _choose(network: Network, block: Block) -> None:
    """Sample raw actions or choices, or take the mode of a deterministic policy."""
    if network.distribution != CATEGORICAL:
        _draw_gaussian(network, block)
    else:
        _sum_exponentials(network, block)
        if network.deterministic:
            _take_mode(network, block)
        else:
            _draw_categorical(network, block)


@inlined
def _gaussian_log_prob(network: Network, block: Block) -> None:
    """Write the log-density of raw actions, or of tanh-squashed actions for TANH_GAUSSIAN.

    Source: T. Haarnoja et al., "Soft Actor-Critic algorithms and applications" (2018), appendix C; the
    log-derivative of tanh, log(1 − tanh²u), is written as 2 (log 2 − u − softplus(−2u)), which does not
    cancel for large u.
    """
    means, log_stds = block.outputs, block.outputs[network.size :]
    for lane in range(WIDTH):
        block.log_probs[lane] = 0.0
    for j in range(network.size):
        for lane in range(WIDTH):
            log_std, raw = np.float64(log_stds[j, lane]), np.float64(block.samples[j, lane])
            deviation = (raw - np.float64(means[j, lane])) / exp(log_std)
            block.log_probs[lane] -= 0.5 * deviation * deviation + log_std + HALF_LOG_TWO_PI
        if network.distribution == TANH_GAUSSIAN:
            log_scale = log(0.5 * (np.float64(network.high[j]) - np.float64(network.low[j])))
            for lane in range(WIDTH):
                raw = np.float64(block.samples[j, lane])
                block.log_probs[lane] -= 2.0 * (LOG_TWO - raw - softplus(-2.0 * raw)) + log_scale


@inlined
def _categorical_log_prob(network: Network, block: Block) -> None:
    """Write the log-probability of choices."""
    _sum_exponentials(network, block)
    for lane in range(WIDTH):
        block.log_probs[lane] = -block.max_logits[lane] - log(block.exp_sums[lane])
    for j in range(network.size):
        for lane in range(WIDTH):
            chosen = block.samples[0, lane] == np.float32(j)
            block.log_probs[lane] += np.float64(block.outputs[j, lane]) if chosen else 0.0


@inlined
def _log_prob(network: Network, block: Block) -> None:
    if network.distribution == CATEGORICAL:
        _categorical_log_prob(network, block)
    else:
        _gaussian_log_prob(network, block)


@inlined
def executed(distribution: int, low: np.float32, high: np.float32, samples: np.float32) -> np.float32:
    """The executed action of a raw one: squashed or clipped into its bounds; a choice is unchanged."""
    if distribution == CATEGORICAL:
        return samples
    if distribution == TANH_GAUSSIAN:
        center, scale = 0.5 * (np.float64(high) + np.float64(low)), 0.5 * (np.float64(high) - np.float64(low))
        return np.float32(center + scale * tanh(np.float64(samples)))
    return min(max(samples, low), high)


@inlined
def _execute(network: Network, block: Block) -> None:
    """Write the executed actions of the samples."""
    for j in range(len(block.samples)):
        low, high = network.low[j], network.high[j]
        for lane in range(WIDTH):
            block.actions[j, lane] = executed(network.distribution, low, high, block.samples[j, lane])


@inlined
def _load(rows: npt.NDArray[np.floating], first: int, block: npt.NDArray[np.floating]) -> None:
    """Load up to WIDTH rows from ``first`` on into a block; lanes beyond the last row are unchanged."""
    for lane in range(min(WIDTH, len(rows) - first)):
        for j in range(rows.shape[1]):
            block[j, lane] = rows[first + lane, j]


@inlined
def _store(block: Matrix, first: int, rows: Matrix) -> None:
    """Store a block into up to WIDTH rows from ``first`` on."""
    for lane in range(min(WIDTH, len(rows) - first)):
        for j in range(rows.shape[1]):
            rows[first + lane, j] = block[j, lane]


@inlined
def _store_log_probs(block: Block, first: int, log_probs: Matrix) -> None:
    for lane in range(min(WIDTH, len(log_probs) - first)):
        log_probs[first + lane] = block.log_probs[lane]


@inlined
def _load_observations(network: Network, observations: Observations, first: int, block: Block) -> None:
    """Load a block's observations, and set padding inputs to 0."""
    _load(observations, first, block.inputs)
    for j in range(network.observation_size, network.layers[0].weights.shape[1]):
        for lane in range(WIDTH):
            block.inputs[j, lane] = 0.0


@inlined
def act_in_blocks(
    network: Network,
    observations: Observations,
    noise: FloatArray,
    actions: Matrix,
    raw_actions: Matrix,
    log_probs: Matrix,
) -> None:
    """Write a network's actions for observations (n, obs); see ``act_rows``."""
    block = empty_block(network)
    for first in range(0, len(observations), WIDTH):
        _load_observations(network, observations, first, block)
        _load(noise, first, block.noise)
        forward(network, block)
        _choose(network, block)
        _log_prob(network, block)
        _execute(network, block)
        _store(block.samples, first, raw_actions)
        _store(block.actions, first, actions)
        _store_log_probs(block, first, log_probs)


@kernel
def act_rows(
    network: Network,
    observations: Observations,
    noise: FloatArray,
    actions: Matrix,
    raw_actions: Matrix,
    log_probs: Matrix,
) -> None:
    """Write a network's actions and log-probabilities for observations (n, obs).

    Args:
        network: the network.
        observations: (n, obs).
        noise: (n, dimensions), standard normal numbers, or uniform ones for choices; 0 gives the means.
        actions: written, (n, dimensions), executed actions.
        raw_actions: written, (n, dimensions), before squashing or clipping; equal to ``actions`` for choices.
        log_probs: written, (n,), log-densities or log-probabilities.
    """
    act_in_blocks(network, observations, noise, actions, raw_actions, log_probs)


@kernel
def log_prob_rows(network: Network, observations: Observations, samples: Matrix, log_probs: Matrix) -> None:
    """Write the log-probabilities (n,) of raw actions or choices (n, dimensions) on observations (n, obs)."""
    block = empty_block(network)
    for first in range(0, len(observations), WIDTH):
        _load_observations(network, observations, first, block)
        _load(samples, first, block.samples)
        forward(network, block)
        _log_prob(network, block)
        _store_log_probs(block, first, log_probs)


@kernel
def execute_rows(distribution: int, low: Matrix, high: Matrix, raw_actions: Matrix, actions: Matrix) -> None:
    """Write the executed actions (n, dimensions) of raw actions (n, dimensions)."""
    for i in range(len(actions)):
        for j in range(actions.shape[1]):
            actions[i, j] = executed(distribution, low[j], high[j], raw_actions[i, j])
