"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A path ``<name>.partial`` to write to, which gets its final name once the work has succeeded.

    The file and its name are brought safely to disk. On an error or an interrupt it is removed; what a
    killed process has left is overwritten by the next one.

    Raises:
        OSError: if there is a folder of this name or its folder cannot be written, before any work is done,
            or the disk is full.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(b"")
    try:
        yield partial
        synchronize(partial)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    synchronize(path.parent)


@contextmanager
def unfinished_folder(path: Path) -> Iterator[Path]:
    """The same for a folder, which the caller makes; one that is there under the final name is replaced.

    Raises:
        OSError: if the folder cannot be written, or the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    synchronize(path.parent)


def synchronize(path: Path) -> None:
    """Bring a file, or the names in a folder, safely to disk."""
    if path.is_dir() and os.name != "posix":
        return  # only POSIX systems open folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_writable(folder: Path) -> None:
    """Make a folder, and make sure that it can be written before any work is done.

    Raises:
        OSError: if it cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
