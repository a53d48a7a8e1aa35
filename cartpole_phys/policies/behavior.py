"""A behaviour policy together with its description, and the way back from the description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cartpole_phys.physics import Params
from cartpole_phys.policies import controllers as heuristic
from cartpole_phys.policies.controllers import swing_up
from cartpole_phys.policies.network import NetworkPolicy, Weights, compiled_network, network_of
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.utils.errors import InputError


@dataclass(frozen=True)
class Behaviour:
    """What acted in a data set, or in one part of it.

    ``description`` (plain JSON values) and ``weights`` are stored in the file; together they give the
    policy back through ``from_description``.
    """

    description: Mapping[str, Any]
    weights: Weights = field(default_factory=dict)

    @property
    def policy(self) -> CompiledPolicy:
        """The policy itself, ready for a rollout of one of this package's systems.

        Raises:
            InputError: if it is a network for other environments.
        """
        return _KINDS[str(self.description["kind"])](self.description, self.weights)

    @property
    def batch_policy(self) -> Policy | CompiledPolicy:
        """The policy for anyone's environments: a network that sees batches of observations, or the law."""
        if self.description["kind"] == "network":
            return NetworkPolicy(self.description, self.weights)
        return self.policy


def _uniform(description: Mapping[str, Any], weights: Weights) -> CompiledPolicy:
    return heuristic.uniform()


def _proportional(description: Mapping[str, Any], weights: Weights) -> CompiledPolicy:
    return heuristic.proportional(
        float(description["gain"]), bool(description["continuous"]), float(description["damping"])
    )


def _swing_up(description: Mapping[str, Any], weights: Weights) -> CompiledPolicy:
    return swing_up(Params.from_mapping(description["params"]), float(description["noise"]))


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Weights], CompiledPolicy]] = {
    "uniform": _uniform,
    "proportional": _proportional,
    "swing_up": _swing_up,
    "network": compiled_network,
}


def from_description(description: Mapping[str, Any], weights: Weights) -> Behaviour:
    """A behaviour from what a file says of it.

    Raises:
        InputError: if the kind is unknown or a number or weight that it needs is missing or misshaped.
    """
    kind = description.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"Expected a policy kind out of {', '.join(_KINDS)}, got {kind!r}.")
    behaviour = Behaviour(dict(description), dict(weights))
    try:
        _ = network_of(description, weights) if kind == "network" else behaviour.policy
    except InputError:
        raise
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"The description of the {kind} policy is not complete: {error!r}.") from error
    return behaviour
