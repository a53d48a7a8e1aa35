"""Is the behaviour as good as the tier says?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cartpole_phys.data.gates.verdict import Array, CannotTell, Gate, GateFailure, stated_world
from cartpole_phys.data.score import mean_interval, references_of, score
from cartpole_phys.data.storage.blocks import Block
from cartpole_phys.data.storage.d4rl import Header
from cartpole_phys.data.tiers import band
from cartpole_phys.episodes import Episodes
from cartpole_phys.errors import InputError
from cartpole_phys.policies.behaviour import from_description

FOREIGN_CODE = "factory"  # the kind of a policy that MODULE:FACTORY made


class Tier(Gate):
    """The behaviour policy, played anew on the stored seed, scores in its tier's band.

    Replay tiers are judged by the agent that they lead up to; a policy that is code from elsewhere, which is
    not run here, by the episodes in the file.
    """

    name = "tier"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        parts, evaluation = header.metadata.get("parts"), header.metadata.get("evaluation")
        if not isinstance(parts, list) or not isinstance(evaluation, Mapping):
            raise CannotTell("the file does not describe its behaviour policy")
        self._parts, self._evaluation = parts, evaluation
        self._own_returns: list[Array] = []

    def see(self, block: Block) -> None:
        if any(part.get("kind") == FOREIGN_CODE for part in self._parts):
            episodes = Episodes.from_d4rl(block.arrays)
            self._own_returns.append(episodes.returns[episodes.complete])

    def verdict(self) -> str:
        return "scores " + ", ".join(self._judge(i, part) for i, part in enumerate(self._parts))

    def _judge(self, number: int, part: Mapping[str, Any]) -> str:
        limits = band(str(part.get("tier")))
        if limits is None:
            raise CannotTell(f"the tier {part.get('tier')!r} claims no score")
        mean, low, high = mean_interval(score(self._references(), self._returns(number, part)))
        if low > limits[1] or high < limits[0]:
            raise GateFailure(
                f"{part['tier']} means a score of {limits[0]:g} to {limits[1]:g}, its policy scores "
                f"{mean:.1f} ({low:.1f} to {high:.1f})"
            )
        return f"{part['tier']} {mean:.1f}"

    def _references(self) -> Mapping[str, Any]:
        """The returns that scores refer to."""
        metadata = self.header.metadata
        try:
            return references_of(str(metadata.get("env_id")), metadata.get("references"))
        except InputError as error:
            raise CannotTell(str(error)) from error

    def _returns(self, number: int, part: Mapping[str, Any]) -> Array:
        """Returns of the policy's own evaluation episodes; of the file's where it is code from elsewhere."""
        if part.get("kind") == FOREIGN_CODE:
            returns = np.concatenate(self._own_returns)
            if not len(returns):
                raise CannotTell("the policy is code from elsewhere, and the file holds no complete episode")
            return returns
        try:
            behaviour = from_description(part, self.header.weights.get(str(number), {}))
            episodes, seed = int(self._evaluation["episodes"]), int(self._evaluation["seed"])
            return stated_world(self.header).play(behaviour, episodes, seed).returns
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise CannotTell(f"the behaviour policy cannot be made again: {error}") from error
