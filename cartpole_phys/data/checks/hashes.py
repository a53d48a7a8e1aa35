"""Gate ``hashes``: checksums of the arrays and of the metadata match."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from cartpole_phys.data.checks.base import Gate, GateFailure, Unverifiable
from cartpole_phys.data.hashing import ARRAY_HASHES, METADATA_HASH, TableHash, metadata_sha256
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import THREADS, Header


class Hashes(Gate):
    """The SHA-256 of every array and of the metadata match the stored ones."""

    name = "hashes"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        stated = header.metadata.get(ARRAY_HASHES)
        if not isinstance(stated, Mapping) or METADATA_HASH not in header.metadata:
            raise Unverifiable("the file has no hashes")
        if set(stated) != set(header.arrays):
            others = sorted(set(stated) ^ set(header.arrays))
            raise GateFailure(f"arrays without a hash, or hashes without an array: {', '.join(others)}")
        if metadata_sha256(header.metadata, header.weights) != header.metadata[METADATA_HASH]:
            raise GateFailure("checksum mismatch of the metadata")
        self._stated = stated
        self._hashes = TableHash(header.rows)

    def check_rows(self, block: Block) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            self._hashes.update(block.arrays, pool.map)

    def finish(self) -> str:
        for name, found in self._hashes.hexdigests().items():
            if found != self._stated[name]:
                raise GateFailure(f"checksum mismatch of {name}")
        return f"{len(self._stated)} arrays and the metadata"
