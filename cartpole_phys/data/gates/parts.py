"""Is a set of several tiers exactly its parts, one after another?"""

from __future__ import annotations

from collections.abc import Mapping

from cartpole_phys.data.gates.verdict import CannotTell, Gate, GateFailure, stated_parts
from cartpole_phys.data.storage.blocks import Block
from cartpole_phys.data.storage.d4rl import Header
from cartpole_phys.data.storage.hashing import TableHash
from cartpole_phys.data.tiers import COMPOSITES, shares


class Parts(Gate):
    """A composite tier holds its parts in equal shares, each with the hashes of that tier's own set."""

    name = "parts"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        tier = header.metadata.get("tier")
        if not isinstance(tier, str) or tier not in COMPOSITES:
            raise CannotTell("the file is not made of several tiers")
        parts = stated_parts(header)
        found = [(part.get("tier"), part["rows"]) for part in parts]
        expected = list(zip(COMPOSITES[tier], shares(header.rows, len(COMPOSITES[tier])), strict=True))
        if found != expected:
            raise GateFailure(f"{tier} means the parts {expected} (tier and rows), got {found}")
        stated = [part.get("sha256") for part in parts]
        self._stated = [one if isinstance(one, Mapping) else {} for one in stated]
        self._ends = [sum(rows for _, rows in expected[: i + 1]) for i in range(len(expected))]
        self._hashes = [TableHash(rows) for _, rows in expected]

    def see(self, block: Block) -> None:
        first = 0
        for end, hashes in zip(self._ends, self._hashes, strict=True):
            hashes.update(block.between(first, end).arrays)
            first = end

    def verdict(self) -> str:
        for part, (stated, hashes) in enumerate(zip(self._stated, self._hashes, strict=True)):
            for name, found in hashes.hexdigests().items():
                if stated.get(name) != found:
                    raise GateFailure(f"{name} of part {part} is not that of the set of its tier alone")
        return f"the exact concatenation of {len(self._hashes)} parts"
