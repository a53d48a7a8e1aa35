"""A behaviour policy together with its description, and the way back from the description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.errors import InputError
from cartpole_phys.policies import heuristic
from cartpole_phys.policies.tanh_gaussian import WEIGHT_NAMES, TanhGaussianPolicy
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy

Weights = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Behaviour:
    """What acted in a data set, or in one part of it.

    ``description`` (plain JSON values) and ``weights`` are stored in the file; together they give the
    policy back through ``from_description``.
    """

    description: Mapping[str, Any]
    weights: Weights = field(default_factory=dict)

    @property
    def policy(self) -> Policy | CompiledPolicy:
        """The policy itself, ready for a rollout."""
        return _KINDS[str(self.description["kind"])](self.description, self.weights)


def _uniform(description: Mapping[str, Any], weights: Weights) -> CompiledPolicy:
    return heuristic.uniform()


def _proportional(description: Mapping[str, Any], weights: Weights) -> CompiledPolicy:
    return heuristic.proportional(
        float(description["gain"]), bool(description["continuous"]), float(description["damping"])
    )


def _tanh_gaussian(description: Mapping[str, Any], weights: Weights) -> TanhGaussianPolicy:
    return TanhGaussianPolicy(weights, bool(description["deterministic"]))


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Weights], Policy | CompiledPolicy]] = {
    "uniform": _uniform,
    "proportional": _proportional,
    "tanh_gaussian": _tanh_gaussian,
}


def from_description(description: Mapping[str, Any], weights: Weights) -> Behaviour:
    """A behaviour from what a file says of it.

    Raises:
        InputError: if the kind is unknown or a number or weight that it needs is missing or misshaped.
    """
    kind = description.get("kind")
    if kind not in _KINDS:
        raise InputError(f"Expected a policy kind out of {', '.join(_KINDS)}, got {kind!r}.")
    missing = [name for name in WEIGHT_NAMES if kind == "tanh_gaussian" and name not in weights]
    if missing:
        raise InputError(f"Expected the policy's weights {', '.join(WEIGHT_NAMES)}, {missing[0]} is missing.")
    behaviour = Behaviour(dict(description), dict(weights))
    try:
        _ = behaviour.policy
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The description of the {kind} policy is not complete: {error!r}.") from error
    return behaviour
