"""Atomic writes of files and folders, locks against concurrent writers, and JSON with limited nesting."""

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

from cartpole_phys.utils.errors import InputError

if sys.platform != "win32":
    import fcntl

NO_SPACE, TOO_LARGE = "free some space there", "raise the limit on the size of files (ulimit -f)"
FIXES = {errno.ENOSPC: NO_SPACE, errno.EDQUOT: NO_SPACE, errno.EFBIG: TOO_LARGE}  # by errno


@contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """Convert an ``OSError`` on a file or folder into an error of one sentence; errors on other files pass.

    Raises:
        InputError: if the path cannot be written.
    """
    try:
        yield
    except BlockingIOError as error:
        raise InputError(
            f"'{path}' is being written by another process; wait until it has ended, or choose another name."
        ) from error
    except OSError as error:
        if not _concerns(error, path):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        fix = FIXES.get(error.errno or 0, "make it writable")
        raise InputError(f"Cannot write '{path}' ({reason}); {fix}, or choose another place.") from error


def _concerns(error: OSError, path: Path) -> bool:
    """Whether an error is on a path, its partial or lock file, a file below it, or a parent folder."""
    if error.filename is None:  # from HDF5 and other libraries with I/O of their own
        return True
    named, place = Path(os.fsdecode(error.filename)).absolute(), path.absolute()
    return str(named).startswith(str(place)) or place.is_relative_to(named)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a path ``<name>.partial``, and rename it to ``path`` on success.

    The file and its directory entry are synchronized to disk. On an error or an interrupt the partial file is
    removed; the partial file of a killed process is overwritten by the next writer.

    Raises:
        OSError: before any work is done, if ``path`` is a folder, its folder cannot be written or another
            process is writing the file; or if the disk is full.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer_lock(path):
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
def atomic_folder(path: Path) -> Iterator[Path]:
    """Write a folder atomically: yield a path for the caller to create, which then replaces ``path``.

    Raises:
        OSError: before any work is done, if ``path`` is a file, the folder cannot be written or another
            process is writing it; or if the disk is full.
    """
    if path.is_file() or path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer_lock(path), replacing_folder(path) as partial:
        yield partial


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Write a folder as ``atomic_folder`` does, for callers that already hold its ``writer_lock``.

    Raises:
        OSError: if the folder cannot be written, or the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        replace_folder(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def replace_folder(partial: Path, path: Path) -> None:
    """Rename a folder to ``path``; at every moment either ``path`` or its ``set_aside_path`` is complete.

    Raises:
        OSError: if it cannot be renamed; the previous folder is restored.
    """
    old = set_aside_path(path)
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


def set_aside_path(path: Path) -> Path:
    """The path that holds a folder while another one replaces it."""
    return path.with_name(f".{path.name}.replaced")  # hidden, so that no user's folder has this name


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Lock ``path`` against writes by other processes, where the system has locks.

    The lock is on ``<name>.lock`` beside it, because HDF5 locks the files that it writes itself. The lock
    ends with its process: the lock file of a killed process locks nothing.

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
        if not _lock(handle, lock):
            raise BlockingIOError(errno.EAGAIN, "another process is writing it", str(path))
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()
    finally:
        os.close(handle)


def _lock(handle: int, lock: Path) -> bool:
    """Lock an open file, and return whether that succeeded and the file still has its name."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), lock.stat())
    except (BlockingIOError, FileNotFoundError):  # not found: the process that held it has just ended
        return False
    except OSError:  # a file system without locks
        return True


def synchronize(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk (fsync)."""
    if path.is_dir() and os.name != "posix":
        return  # only POSIX systems open folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_writable(folder: Path) -> None:
    """Create a folder, and check that it is writable before any work is done.

    Raises:
        OSError: if it cannot be created or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


MAX_DEPTH = 100  # nested lists and dictionaries


def parse_json(text: str) -> Any:
    """Parse untrusted JSON, with limited nesting so that recursive readers stay below Python's limit.

    Raises:
        ValueError: if it is not valid JSON, or nested deeper than ``MAX_DEPTH``.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    level, depth = [value], 0
    while level := [child for parent in level for child in _children(parent)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
