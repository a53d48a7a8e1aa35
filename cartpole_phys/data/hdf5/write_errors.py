"""HDF5 files to write, whose first failed write raises one ``OSError``.

HDF5 does not survive a failed write: what it holds in memory fails again for every object that is closed, and
in the end the process crashes. Here HDF5 writes through an object that records the first error and reports
success, so that the library closes cleanly; the recorded error is raised to the caller.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


class Storage:
    """A file for HDF5's ``fileobj`` driver, whose operations never fail.

    After the first error nothing more goes to the disk: it is kept in memory, where HDF5 finds it again.
    """

    def __init__(self, path: Path, mode: str) -> None:
        """Open a file, as ``hdf5_file`` does.

        Raises:
            OSError: if it cannot be opened.
        """
        self._file = io.FileIO(path, {"w": "w+", "r+": "r+"}[mode])
        self._error: OSError | None = None
        self._unwritten: list[tuple[int, bytes]] = []  # by position, the newest last

    def raise_error(self) -> None:
        """Raise the first error, if there was one.

        Raises:
            OSError: with the system's reason, such as a full disk.
        """
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file, which HDF5 leaves open."""
        try:
            self._file.close()
        except OSError as error:  # so do network file systems report a full disk
            self._error = self._error or error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, as a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position, as of a file."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, beyond the end with zeros."""
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
        """Write all bytes of a buffer; a nearly full disk takes some of them before it refuses the rest."""
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
        """Give the file a size."""
        try:
            self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size

    def flush(self) -> None:
        """Do nothing: the file has no buffer."""


@contextmanager
def hdf5_file(path: Path, mode: str, **options: Any) -> Iterator[tuple[h5py.File, Storage]]:
    """An HDF5 file and its storage; ``raise_error`` of the storage ends long work soon after a failure.

    Args:
        path: the file.
        mode: ``"w"`` to begin a new file, ``"r+"`` to change one.
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
