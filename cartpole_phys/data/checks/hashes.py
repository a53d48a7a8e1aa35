"""Is everything as it was written?"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from cartpole_phys.data.checks.base import CannotTell, Gate, GateFailure
from cartpole_phys.data.hashing import ARRAY_HASHES, METADATA_HASH, TableHash, metadata_sha256
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import THREADS, Header


class Hashes(Gate):
    """Every array, and the metadata, have the hash that the file states."""

    name = "hashes"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        stated = header.metadata.get(ARRAY_HASHES)
        if not isinstance(stated, Mapping) or METADATA_HASH not in header.metadata:
            raise CannotTell("the file states no hashes")
        if set(stated) != set(header.arrays):
            others = sorted(set(stated) ^ set(header.arrays))
            raise GateFailure(f"hashes are stated for other arrays: {', '.join(others)}")
        if metadata_sha256(header.metadata, header.weights) != header.metadata[METADATA_HASH]:
            raise GateFailure("the metadata are not what was written")
        self._stated = stated
        self._hashes = TableHash(header.rows)

    def see(self, block: Block) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            self._hashes.update(block.arrays, pool.map)

    def verdict(self) -> str:
        for name, found in self._hashes.hexdigests().items():
            if found != self._stated[name]:
                raise GateFailure(f"{name} is not what was written")
        return f"{len(self._stated)} arrays and the metadata"
