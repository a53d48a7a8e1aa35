"""Gate ``metadata``: attributes agree with the recipe, with each other and with the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from cartpole_phys.backends.base import different
from cartpole_phys.data.building.summary import Summary, flat, summary_of, total
from cartpole_phys.data.checks.base import (
    CannotTell,
    Gate,
    GateFailure,
    NotApplicable,
    first_row,
    need,
)
from cartpole_phys.data.checks.claims import claims_of, require_agreement, require_equal
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import REQUIRED, Header
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.behavior import from_description
from cartpole_phys.utils.errors import InputError, is_number

LIMITS = ("timeouts", "infos/collection_cut")  # which differ in the row where the collection was cut
ROUNDING = 1e-9  # relative, of a sum in another order


class Metadata(Gate):
    """Every attribute agrees with the recipe, with the other attributes and with the rows.

    The first episode of each collected part is replayed from its seed with the stored policy, and has to
    equal the file's rows bit for bit.
    """

    name = "metadata"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        if not header.has_recipe:
            raise NotApplicable("the file has no recipe")
        claims = claims_of(header)
        require_agreement(claims)
        self._parts, self._summary, self._played = claims.parts, Summary(), 0
        ends = accumulate(part["rows"] for _, part in self._parts)
        self._waiting = list(enumerate([0, *ends][:-1]))  # number and first row of parts not seen yet

    def see(self, block: Block) -> None:
        need(block, *REQUIRED)
        try:
            self._summary = total([self._summary, summary_of(Episodes.from_d4rl(block.arrays))])
        except InputError as error:
            raise CannotTell(str(error)) from error
        while self._waiting and self._waiting[0][1] < block.start + block.rows:
            number, first = self._waiting.pop(0)
            self._play(number, block, first)

    def verdict(self) -> str:
        stated, found = self.header.metadata.get("summary"), asdict(self._summary)
        if not isinstance(stated, Mapping) or not is_number(stated.get("return_sum")):
            raise GateFailure(f"expected a summary of the rows, got {stated!r:.80}")
        if not math.isclose(stated["return_sum"], found["return_sum"], rel_tol=ROUNDING, abs_tol=ROUNDING):
            raise GateFailure(
                f"summary.return_sum is {stated['return_sum']}, the rows' {found['return_sum']}"
            )
        require_equal("summary", stated, {**found, "return_sum": stated["return_sum"]})
        return f"{len(self.header.metadata)} attributes agree, {self._played} first episodes replayed"

    def _play(self, number: int, block: Block, first: int) -> None:
        """Compare the rows from ``first`` on with the first episode of a part's seed."""
        recipe, part = self._parts[number]
        if part["collection_seed"] is None or recipe.kind.is_user_code:
            return
        episode = self._first_episode(number, recipe, part)
        rows = min(len(episode["rewards"]), part["rows"])
        stored = block.between(first, first + rows).arrays
        for name, values in episode.items():
            if name not in stored:
                raise GateFailure(f"there is no {name}, which the policy of part {number} gives")
            expected, found = values[:rows], stored[name]
            if (found.dtype, found.shape) != (expected.dtype, expected.shape):
                raise CannotTell(f"{name} are {found.dtype} {found.shape}, expected {expected.shape}")
            wrong = different(found, expected)
            if rows < len(values) and name in LIMITS:
                wrong[-1] = False
            if wrong.any():
                raise GateFailure(
                    f"{name} of row {first + first_row(wrong)} is not what the policy of part {number} gives "
                    "from its collection_seed"
                )
        self._played += 1

    def _first_episode(self, number: int, recipe: Recipe, part: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays of the first episode of a part, in the layout of a file."""
        try:
            behavior = from_description(part, self.header.weights.get(str(number), {}))
            return flat(recipe.backend.play(behavior, 1, part["collection_seed"]))
        except InputError as error:
            raise CannotTell(f"the policy of part {number} does not act: {error}") from error
