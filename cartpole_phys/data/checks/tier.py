"""Gate ``tier``: the behavior policy scores within the band of its tier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cartpole_phys.backends.base import Backend
from cartpole_phys.data.building.evaluate_policy import MOST_EVALUATED, score_of_returns, simulated_steps
from cartpole_phys.data.checks.base import (
    CannotTell,
    Gate,
    GateFailure,
    declared_backend,
    require_own_code,
    stated_parts,
)
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.score import all_references, references_of, score
from cartpole_phys.data.tiers import band
from cartpole_phys.policies.behavior import RANDOM, from_description
from cartpole_phys.utils.errors import InputError, is_integer, is_number
from cartpole_phys.utils.typing import Array

FEW = 100  # episodes, below which an interval that overlaps a band does not suffice

ROUNDING = 1e-9  # relative, of means by another version of NumPy


class TierGate(Gate):
    """The behavior policy, evaluated again on the stored seed, has the stored score, in its tier's band.

    Replay tiers are scored by the agent at their last step. The tier of a policy from MODULE:FACTORY is not
    verified here, since that code is not run: the build evaluates it, and refuses a wrong tier.
    """

    name = "tier"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._parts, self._evaluation = stated_parts(header), header.metadata.get("evaluation")

    def verdict(self) -> str:
        return "scores " + ", ".join(self._judge(i, part) for i, part in enumerate(self._parts))

    def _judge(self, number: int, part: Mapping[str, Any]) -> str:
        require_own_code(part)
        tier, references = str(part.get("tier")), self._references(part)
        returns = self._returns(number, part)
        if not np.isfinite(score(references, returns) if references else returns).all():
            raise GateFailure("the scores of its policy contain NaN or Inf")
        measured = score_of_returns(returns, references)
        self._require_in_band(tier, measured, len(returns))
        self._require_stated(number, measured)
        return (
            f"{tier} {measured['score']:.1f}" if references else f"{tier}, mean {measured['mean_return']:.1f}"
        )

    def _require_in_band(self, tier: str, measured: Mapping[str, float], episodes: int) -> None:
        limits = band(tier)
        if limits is None or "score" not in measured:
            return
        mean, low, high = (measured[name] for name in ("score", "score_low", "score_high"))
        # A wide interval of few episodes reaches any band, so that their mean has to lie in it.
        inside = limits[0] <= mean <= limits[1]
        if low > limits[1] or high < limits[0] or (episodes < FEW and not inside):
            raise GateFailure(
                f"{tier} means a score of {limits[0]:g} to {limits[1]:g}, its policy scores {mean:.1f} "
                f"({low:.1f} to {high:.1f})"
            )

    def _require_stated(self, number: int, measured: Mapping[str, float]) -> None:
        """Compare with the scores that the file states."""
        scores = self.header.metadata.get("scores")
        stated = scores[number] if isinstance(scores, list) and len(scores) == len(self._parts) else None
        if not isinstance(stated, Mapping) or set(stated) != set(measured):
            raise GateFailure(f"expected the scores of {len(self._parts)} parts, got {scores!r:.80}")
        for name, value in measured.items():
            found = stated[name]
            if not is_number(found) or not math.isclose(found, value, rel_tol=ROUNDING, abs_tol=ROUNDING):
                raise GateFailure(f"the {name} of part {number} is stated as {found!r:.30}, and is {value}")

    def _references(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """The returns that scores refer to; nothing where the tier claims no score and there are none."""
        env_id, stated = str(self.header.metadata.get("env_id")), self.header.metadata.get("references")
        claims_none = band(str(part.get("tier"))) is None or part.get("kind") in RANDOM.stored
        if claims_none and not stated and env_id not in all_references():
            return {}
        try:
            return references_of(env_id, stated)
        except InputError as error:
            raise CannotTell(str(error)) from error

    def _returns(self, number: int, part: Mapping[str, Any]) -> Array:
        """Returns of the policy's evaluation episodes."""
        try:
            behavior = from_description(part, self.header.weights.get(str(number), {}))
        except InputError as error:
            raise CannotTell(f"the behavior policy cannot be restored: {error}") from error
        backend = declared_backend(self.header)
        return backend.play(behavior, *self._episodes_and_seed(backend)).returns

    def _episodes_and_seed(self, backend: Backend) -> tuple[int, int]:
        """Number of evaluation episodes, and their seed, from the file's metadata.

        Raises:
            CannotTell: if they are missing, or the evaluation exceeds the step limit of a check.
        """
        stated = self._evaluation if isinstance(self._evaluation, Mapping) else {}
        episodes, seed = stated.get("episodes"), stated.get("seed")
        if not is_integer(episodes) or not is_integer(seed) or episodes < 1 or seed < 0:
            raise CannotTell("the file has no evaluation episodes and seed of its behavior policy")
        steps = simulated_steps(backend, episodes)
        if steps > MOST_EVALUATED:
            raise CannotTell(
                f"the evaluation takes up to {steps:,} steps, more than the {MOST_EVALUATED:,} of a check"
            )
        return episodes, seed
