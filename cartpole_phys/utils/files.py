"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A path ``<name>.partial`` to write to, which gets its final name once the work has succeeded.

    The file and its name are brought safely to disk. On an error or an interrupt it is removed; what a
    killed process has left is overwritten by the next one.

    Raises:
        OSError: if there is a folder of this name, its folder cannot be written or another process is writing
            the file, before any work is done, or the disk is full.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(path):
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
        OSError: if there is a file of this name, the folder cannot be written or another process is writing
            it, before any work is done, or the disk is full.
    """
    if path.is_file() or path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(path), replacing_folder(path) as partial:
        yield partial


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same by who is ``only_writer`` already.

    Raises:
        OSError: if the folder cannot be written, or the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        put_in_place(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a folder to ``path``; at every moment ``path`` or, ``aside``, what it was is complete.

    Raises:
        OSError: if it cannot be renamed; what was there is there again.
    """
    old = aside(path)
    if not path.exists() and old.exists():  # an earlier replacement was killed between its two renames
        os.rename(old, path)
    if old.exists():
        shutil.rmtree(old)
    try:
        if path.exists():
            os.rename(path, old)
        os.rename(partial, path)
    except BaseException:
        if not path.exists() and old.exists():
            os.rename(old, path)
        raise
    synchronize(path.parent)
    if old.exists():
        shutil.rmtree(old)


def aside(path: Path) -> Path:
    """Where a folder is kept while another one takes its place."""
    return path.with_name(f".{path.name}.replaced")  # what nobody calls a copy of their own


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep other processes from writing ``path`` meanwhile, where the system has locks.

    The lock is on ``<name>.lock`` beside it, because HDF5 locks the files that it writes itself. It ends with
    its process: the file that a killed one leaves locks nothing.

    Raises:
        BlockingIOError: if another process is writing ``path``.
        OSError: if its folder cannot be written.
    """
    if sys.platform == "win32":
        yield
        return
    lock = path.with_name(path.name + ".lock")
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _locked(handle, lock):
            raise BlockingIOError(errno.EAGAIN, "another process is writing it", str(path))
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()
    finally:
        os.close(handle)


def _locked(handle: int, lock: Path) -> bool:
    """Whether an open file could be locked, and is still the one under its name."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), lock.stat())
    except (BlockingIOError, FileNotFoundError):  # not found: the process that held it has just ended
        return False
    except OSError:  # a file system without locks
        return True


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


DEEPEST = 100  # lists and dictionaries within each other


def parsed_json(text: str) -> Any:
    """What a text says in JSON's types, not so deep that whoever walks through it meets Python's limit.

    Raises:
        ValueError: if it is no JSON, or deeper than ``DEEPEST``.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is too deep") from None
    level, depth = [value], 0
    while level := [within for one in level for within in _within(one)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"it is deeper than {DEEPEST} lists within each other")
    return value


def _within(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
