"""Gate ``metadata``: attributes agree with the recipe, with each other and with the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from cartpole_phys.backends.base import different
from cartpole_phys.data.building.summary import Summary, d4rl_arrays, summary_of, total
from cartpole_phys.data.checks.base import (
    Gate,
    GateFailure,
    NotApplicable,
    Unverifiable,
    first_row,
    require_arrays,
)
from cartpole_phys.data.checks.consistency import parse_header, require_consistency, require_equal
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import REQUIRED, Header
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.behavior import from_description
from cartpole_phys.utils.errors import InputError, is_number

CUT_FLAGS = ("timeouts", "infos/collection_cut")  # differ in the last row if the collection cut the episode
ROUNDING = 1e-9  # relative, of a sum in another order


class Metadata(Gate):
    """Every attribute agrees with the recipe, with the other attributes and with the rows.

    The first episode of each collected part is replayed from its seed with the stored policy; it has to equal
    the file's rows bit for bit.
    """

    name = "metadata"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        if not header.has_recipe:
            raise NotApplicable("the file has no recipe")
        parsed = parse_header(header)
        require_consistency(parsed)
        self._parts, self._summary, self._replayed = parsed.parts, Summary(), 0
        ends = accumulate(part["rows"] for _, part in self._parts)
        self._pending = list(enumerate([0, *ends][:-1]))  # number and first row of the parts to replay

    def check_rows(self, block: Block) -> None:
        require_arrays(block, *REQUIRED)
        try:
            self._summary = total([self._summary, summary_of(Episodes.from_d4rl(block.arrays))])
        except InputError as error:
            raise Unverifiable(str(error)) from error
        while self._pending and self._pending[0][1] < block.start + block.rows:
            number, first = self._pending.pop(0)
            self._replay_first_episode(number, block, first)

    def finish(self) -> str:
        stated, found = self.header.metadata.get("summary"), asdict(self._summary)
        if not isinstance(stated, Mapping) or not is_number(stated.get("return_sum")):
            raise GateFailure(f"expected a summary of the rows, got {stated!r:.80}")
        if not math.isclose(stated["return_sum"], found["return_sum"], rel_tol=ROUNDING, abs_tol=ROUNDING):
            raise GateFailure(
                f"expected summary.return_sum {found['return_sum']} from the rows, got {stated['return_sum']}"
            )
        require_equal("summary", stated, {**found, "return_sum": stated["return_sum"]})
        return f"{len(self.header.metadata)} attributes agree, {self._replayed} first episodes replayed"

    def _replay_first_episode(self, number: int, block: Block, first: int) -> None:
        """Compare the rows from ``first`` on with the first episode of a part, replayed from its seed."""
        recipe, part = self._parts[number]
        if part["collection_seed"] is None or recipe.kind.is_user_code:
            return
        episode = self._first_episode(number, recipe, part)
        rows = min(len(episode["rewards"]), part["rows"])
        stored = block.between(first, first + rows).arrays
        for name, values in episode.items():
            if name not in stored:
                raise GateFailure(f"expected {name} as recorded from the policy of part {number}, got none")
            expected, found = values[:rows], stored[name]
            if (found.dtype, found.shape) != (expected.dtype, expected.shape):
                raise Unverifiable(
                    f"expected {name} as {expected.dtype} {expected.shape}, got {found.dtype} {found.shape}"
                )
            wrong = different(found, expected)
            if rows < len(values) and name in CUT_FLAGS:
                wrong[-1] = False
            if wrong.any():
                raise GateFailure(
                    f"{name} of row {first + first_row(wrong)} differs from the replay of the policy of part "
                    f"{number} from its collection_seed"
                )
        self._replayed += 1

    def _first_episode(self, number: int, recipe: Recipe, part: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays of the first episode of a part, in the layout of a file."""
        try:
            behavior = from_description(part, self.header.weights.get(str(number), {}))
            return d4rl_arrays(recipe.backend.play(behavior, 1, part["collection_seed"]))
        except InputError as error:
            raise Unverifiable(f"the policy of part {number} cannot be run: {error}") from error
