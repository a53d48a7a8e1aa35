"""Gate ``tier``: the score of the behavior policy lies in the band of its tier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cartpole_phys.backends.base import Backend
from cartpole_phys.data.building.evaluate_policy import (
    MAX_EVALUATION_STEPS,
    score_of_returns,
    simulated_steps,
)
from cartpole_phys.data.checks.base import (
    Gate,
    GateFailure,
    Unverifiable,
    complete_parts,
    declared_backend,
    refuse_user_code,
)
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.score import all_references, references_of, score
from cartpole_phys.data.tiers import band
from cartpole_phys.policies.behavior import RANDOM, from_description
from cartpole_phys.utils.errors import InputError, is_integer, is_number
from cartpole_phys.utils.typing import Array

MIN_EPISODES = 100  # with fewer, an interval that overlaps the band is not sufficient
ROUNDING = 1e-9  # relative, of means computed by another version of NumPy


class TierGate(Gate):
    """The behavior policy, evaluated again on the stored seed, has the stored score, in its tier's band.

    Replay tiers have the score of the agent at their last step. The tier of a policy from MODULE:FACTORY is
    not verified here, since that code is not run: the build evaluates it and refuses a wrong tier.
    """

    name = "tier"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._parts, self._evaluation = complete_parts(header), header.metadata.get("evaluation")

    def finish(self) -> str:
        return "scores " + ", ".join(self._check_part(i, part) for i, part in enumerate(self._parts))

    def _check_part(self, number: int, part: Mapping[str, Any]) -> str:
        """Evaluate the policy of a part, and return its tier and score."""
        refuse_user_code(part)
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
        # The wide interval of few episodes overlaps any band, so their mean has to lie in it.
        inside = limits[0] <= mean <= limits[1]
        if low > limits[1] or high < limits[0] or (episodes < MIN_EPISODES and not inside):
            raise GateFailure(
                f"expected a score of {limits[0]:g} to {limits[1]:g} for the tier {tier}, got {mean:.1f} "
                f"({low:.1f} to {high:.1f})"
            )

    def _require_stated(self, number: int, measured: Mapping[str, float]) -> None:
        """Compare with the scores in the file."""
        scores = self.header.metadata.get("scores")
        stated = scores[number] if isinstance(scores, list) and len(scores) == len(self._parts) else None
        if not isinstance(stated, Mapping) or set(stated) != set(measured):
            raise GateFailure(f"expected the scores of {len(self._parts)} parts, got {scores!r:.80}")
        for name, value in measured.items():
            found = stated[name]
            if not is_number(found) or not math.isclose(found, value, rel_tol=ROUNDING, abs_tol=ROUNDING):
                raise GateFailure(f"expected {name} {value} of part {number}, got {found!r:.30}")

    def _references(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Reference returns of the scores; empty if there are none and the tier does not require a score."""
        env_id, stated = str(self.header.metadata.get("env_id")), self.header.metadata.get("references")
        needs_none = band(str(part.get("tier"))) is None or part.get("kind") in RANDOM.stored
        if needs_none and not stated and env_id not in all_references():
            return {}
        try:
            return references_of(env_id, stated)
        except InputError as error:
            raise Unverifiable(str(error)) from error

    def _returns(self, number: int, part: Mapping[str, Any]) -> Array:
        """Returns of the policy's evaluation episodes."""
        try:
            behavior = from_description(part, self.header.weights.get(str(number), {}))
        except InputError as error:
            raise Unverifiable(f"the behavior policy cannot be restored: {error}") from error
        backend = declared_backend(self.header)
        return backend.play(behavior, *self._episodes_and_seed(backend)).returns

    def _episodes_and_seed(self, backend: Backend) -> tuple[int, int]:
        """Number of evaluation episodes, and their seed, from the file's metadata.

        Raises:
            Unverifiable: if they are missing, or the evaluation exceeds the step limit of a check.
        """
        stated = self._evaluation if isinstance(self._evaluation, Mapping) else {}
        episodes, seed = stated.get("episodes"), stated.get("seed")
        if not is_integer(episodes) or not is_integer(seed) or episodes < 1 or seed < 0:
            raise Unverifiable("the file does not state the episodes and seed of its policy's evaluation")
        steps = simulated_steps(backend, episodes)
        if steps > MAX_EVALUATION_STEPS:
            raise Unverifiable(
                f"expected an evaluation of at most {MAX_EVALUATION_STEPS:,} steps, got up to {steps:,}"
            )
        return episodes, seed
