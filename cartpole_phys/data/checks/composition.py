"""Gate ``parts``: the file is the exact concatenation of its parts."""

from __future__ import annotations

from collections.abc import Mapping

from cartpole_phys.data.checks.base import Gate, GateFailure, NotApplicable, described_parts, rows_of
from cartpole_phys.data.hashing import TableHash
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.tiers import TIERS


class Parts(Gate):
    """The parts cover all rows; a mixture's have equal shares and equal the data sets of their tiers."""

    name = "parts"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        parts, tier = described_parts(header), header.metadata.get("tier")
        if rows_of(parts) != header.rows:
            raise GateFailure(f"the described parts do not cover all {header.rows:,} rows of the file")
        expected = TIERS[tier].shares(header.rows) if isinstance(tier, str) and tier in TIERS else []
        if len(expected) < 2:
            raise NotApplicable("the file is not a mixture of tiers")
        found = [(part.get("tier"), part["rows"]) for part in parts]
        if found != expected:
            raise GateFailure(f"expected the parts {expected} (tier and rows) for {tier}, got {found}")
        stated = [part.get("sha256") for part in parts]
        self._stated = [hashes if isinstance(hashes, Mapping) else {} for hashes in stated]
        self._ends = [sum(rows for _, rows in expected[: i + 1]) for i in range(len(expected))]
        self._hashes = [TableHash(rows) for _, rows in expected]

    def check_rows(self, block: Block) -> None:
        first = 0
        for end, hashes in zip(self._ends, self._hashes, strict=True):
            hashes.update(block.between(first, end).arrays)
            first = end

    def finish(self) -> str:
        for part, (stated, hashes) in enumerate(zip(self._stated, self._hashes, strict=True)):
            for name, found in hashes.hexdigests().items():
                if stated.get(name) != found:
                    raise GateFailure(f"{name} of part {part} differs from the data set of its tier alone")
        return f"the exact concatenation of {len(self._hashes)} parts"
