"""Writable HDF5 files that report a failed write as one ``OSError``.

HDF5 does not recover from a failed write: its cached data fail again for every object that is closed, and the
process finally crashes. Here HDF5 writes through an object that records the first error and reports success,
so that the library closes cleanly; the recorded error is raised to the caller.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


class Storage:
    """File object for HDF5's ``fileobj`` driver, whose operations never fail.

    After the first error, further writes are kept in memory, from which HDF5 can read them.
    """

    def __init__(self, path: Path, mode: str) -> None:
        """Open a file, as ``hdf5_file`` does.

        Raises:
            OSError: if it cannot be opened.
        """
        self._file = io.FileIO(path, {"w": "w+", "r+": "r+"}[mode])
        self._error: OSError | None = None
        self._unwritten: list[tuple[int, bytes]] = []  # position and content, newest last

    def raise_error(self) -> None:
        """Raise the first error, if there was one.

        Raises:
            OSError: with the system's reason, such as a full disk.
        """
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file, which HDF5 does not do."""
        try:
            self._file.close()
        except OSError as error:  # network file systems report a full disk here
            self._error = self._error or error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position, as ``io.IOBase.seek``."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The current position."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; bytes beyond the end of the file are zeros."""
        view, start, done = memoryview(buffer).cast("B"), self.tell(), 0
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        view[done:] = bytes(len(view) - done)
        for position, content in self._unwritten:
            low, high = max(position, start), min(position + len(content), start + len(view))
            if low < high:
                view[low - start : high - start] = content[low - position : high - position]
        return len(view)

    def write(self, content: Any) -> int:
        """Write all bytes of a buffer; on a nearly full disk, the system may write only some of them."""
        view, start, done = memoryview(content).cast("B"), self.tell(), 0
        try:
            while self._error is None and done < len(view):
                done += self._file.write(view[done:])
        except OSError as error:
            self._error = error
        if done < len(view):
            self._unwritten.append((start, bytes(view)))
            self.seek(start + len(view))
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the size of the file."""
        try:
            self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size

    def flush(self) -> None:
        """Do nothing: the file has no buffer."""


@contextmanager
def hdf5_file(path: Path, mode: str, **options: Any) -> Iterator[tuple[h5py.File, Storage]]:
    """Open an HDF5 file with its storage; call the storage's ``raise_error`` to stop early after a failure.

    Args:
        path: the file.
        mode: ``"w"`` to create a file, ``"r+"`` to modify one.
        options: further arguments of ``h5py.File``.

    Raises:
        OSError: if the file cannot be opened, or a write failed.
    """
    storage = Storage(path, mode)
    try:
        with h5py.File(path, mode, driver="fileobj", fileobj=storage, **options) as file:
            yield file, storage
    finally:
        storage.close()
    storage.raise_error()
