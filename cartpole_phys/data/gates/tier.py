"""Does the behavior policy score in its tier's band?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cartpole_phys.data.gates.verdict import (
    Array,
    CannotTell,
    Gate,
    GateFailure,
    NotApplicable,
    require_own_code,
    stated_parts,
    stated_world,
)
from cartpole_phys.data.recipe import MOST_EVALUATED, simulated_steps
from cartpole_phys.data.score import all_references, mean_interval, references_of, score
from cartpole_phys.data.storage.d4rl import Header
from cartpole_phys.data.tiers import band
from cartpole_phys.errors import InputError, is_integer
from cartpole_phys.policies.behaviour import from_description
from cartpole_phys.worlds.world import World

FEW = 100  # episodes, below which an interval that overlaps a band does not suffice


class Tier(Gate):
    """The behavior policy, evaluated again on the stored seed, scores in its tier's band.

    Replay tiers are judged by the agent that they lead up to. The tier of a policy from MODULE:FACTORY is not
    proven here, since that code is not run: the build evaluates it, and refuses a false tier.
    """

    name = "tier"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._parts, self._evaluation = stated_parts(header), header.metadata.get("evaluation")

    def verdict(self) -> str:
        return "scores " + ", ".join(self._judge(i, part) for i, part in enumerate(self._parts))

    def _judge(self, number: int, part: Mapping[str, Any]) -> str:
        limits = band(str(part.get("tier")))
        if limits is None:
            raise NotApplicable(f"the tier {part.get('tier')!r} claims no score")
        if part.get("kind") == "uniform" and part["tier"] == "random" and not self._has_references():
            raise NotApplicable("a random policy is random, and there are no returns that a score refers to")
        require_own_code(part)
        scores = score(self._references(), self._returns(number, part))
        if not np.isfinite(scores).all():
            raise GateFailure("its policy's scores are no finite numbers")
        mean, low, high = mean_interval(scores)
        # A wide interval of few episodes reaches any band, so that their mean has to lie in it.
        inside = limits[0] <= mean <= limits[1]
        if low > limits[1] or high < limits[0] or (len(scores) < FEW and not inside):
            raise GateFailure(
                f"{part['tier']} means a score of {limits[0]:g} to {limits[1]:g}, its policy scores "
                f"{mean:.1f} ({low:.1f} to {high:.1f})"
            )
        return f"{part['tier']} {mean:.1f}"

    def _has_references(self) -> bool:
        metadata = self.header.metadata
        return bool(metadata.get("references")) or metadata.get("env_id") in all_references()

    def _references(self) -> Mapping[str, Any]:
        """The returns that scores refer to."""
        metadata = self.header.metadata
        try:
            return references_of(str(metadata.get("env_id")), metadata.get("references"))
        except InputError as error:
            raise CannotTell(str(error)) from error

    def _returns(self, number: int, part: Mapping[str, Any]) -> Array:
        """Returns of the policy's evaluation episodes."""
        try:
            behaviour = from_description(part, self.header.weights.get(str(number), {}))
        except InputError as error:
            raise CannotTell(f"the behaviour policy cannot be made again: {error}") from error
        world = stated_world(self.header)
        return world.play(behaviour, *self._episodes_and_seed(world)).returns

    def _episodes_and_seed(self, world: World) -> tuple[int, int]:
        """How the file says that its policy was evaluated.

        Raises:
            CannotTell: if it does not, or if that is more than a check has time for.
        """
        stated = self._evaluation if isinstance(self._evaluation, Mapping) else {}
        episodes, seed = stated.get("episodes"), stated.get("seed")
        if not is_integer(episodes) or not is_integer(seed) or episodes < 1 or seed < 0:
            raise CannotTell("the file does not say how its behaviour policy was evaluated")
        steps = simulated_steps(world, episodes)
        if steps > MOST_EVALUATED:
            raise CannotTell(
                f"the evaluation takes up to {steps:,} steps, and a check plays {MOST_EVALUATED:,} at most"
            )
        return episodes, seed
