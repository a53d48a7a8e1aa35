"""Policy networks with seeded weights, in the format of data sets."""

from typing import Any

import numpy as np

from cartpole_phys.policies.network import NetworkPolicy, Weights
from cartpole_phys.rollouts.policy import ActionBatch

Described = tuple[dict[str, Any], Weights]


def described(
    distribution: str,
    nonlinearity: str = "relu",
    observation_size: int = 4,
    size: int = 1,
    hidden: tuple[int, int] = (10, 7),
    deterministic: bool = False,
    bounds: tuple[float, float] = (-1.0, 1.0),
    seed: int = 0,
) -> Described:
    """A description with uniform random weights whose bits are the same on every machine."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return ((2.0 * rng.random(shape) - 1.0) * 2.0 / np.sqrt(shape[-1])).astype(np.float32)

    def layer(name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": weights(outputs, inputs), f"{name}.bias": 0.2 * weights(outputs)}

    description: dict[str, Any] = {
        "kind": "network",
        "nonlinearity": nonlinearity,
        "output_distribution": distribution,
        "deterministic": deterministic,
    }
    own = layer("fc0", hidden[0], observation_size) | layer("fc1", hidden[1], hidden[0])
    own |= layer("last_fc", size, hidden[1])
    if distribution != "categorical":
        description |= {"action_low": [bounds[0]] * size, "action_high": [bounds[1]] * size}
    if distribution == "tanh_gaussian":
        own |= layer("last_fc_log_std", size, hidden[1])
    if distribution == "gaussian":
        own["log_std"] = weights(size)
    return description, own


def constant_network(distribution: str, **outputs: list[float]) -> Described:
    """A network whose outputs do not depend on the observation; two underscores stand for a dot."""
    own = {name.replace("__", "."): np.array(value, np.float32) for name, value in outputs.items()}
    description, weights = described(distribution, size=len(own["last_fc.bias"]))
    return description, {**{name: np.zeros_like(array) for name, array in weights.items()}, **own}


def with_description(what: Described, **changes: object) -> Described:
    """The network with changes to its description."""
    return {**what[0], **changes}, what[1]


def act(what: Described, observations: np.ndarray) -> ActionBatch:
    """Actions of a network on observations (n, obs), with noise from a fixed seed."""
    policy = NetworkPolicy(*what)
    policy.begin(len(observations), np.random.default_rng(0))
    return policy.act(observations, np.zeros(len(observations)))
