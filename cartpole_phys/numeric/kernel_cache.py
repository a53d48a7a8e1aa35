"""On-disk cache of kernels' machine code; a full, damaged or unreachable cache never raises.

Numba's own cache raises an ``OSError`` on a full disk, an ``EOFError`` or ``UnpicklingError`` on a truncated
file, and does not detect a changed byte of machine code.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from types import CodeType, FunctionType
from typing import Any
from uuid import uuid4

import llvmlite
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

_DIGEST = hashlib.sha256().digest_size  # bytes at the start of each file
NOTICE_AFTER = 1.0  # s of compiling
_VERSIONS = numba.__version__, llvmlite.__version__, sys.version


class KernelCache(NullCache):
    """Cache of one kernel's machine code: one file per signature, processor and compiler version.

    A file is a SHA-256 checksum and a pickle, written atomically, so concurrent writers do no harm.
    """

    def __init__(self, function: Any, folder: Path) -> None:
        """Cache the machine code of ``function`` in ``folder``, created when the first file is written.

        The caller must choose another folder if a function that it calls has changed.
        """
        self._name, self._folder = f"{function.__module__}.{function.__qualname__}", folder
        self._code = _described(function)

    @property
    def cache_path(self) -> str:
        """The folder of the cache."""
        return str(self._folder)

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The cached kernel for a signature, or None."""
        target_context.refresh()
        with _warning_once(self._folder):
            data = self._read(self._path(sig, target_context))
            if data is not None:
                return CompileResult._rebuild(target_context, *pickle.loads(data))  # noqa: S301  our own file
        _notice.begin()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store the kernel compiled for a signature."""
        _notice.end()
        with _warning_once(self._folder):
            if data.library.has_dynamic_globals:
                raise ValueError(f"{self._name} contains addresses of this process")
            payload = dumps(data._reduce())
            self._write(self._path(sig, data.target_context), hashlib.sha256(payload).digest() + payload)

    def _path(self, sig: Any, target_context: Any) -> Path:
        key = repr(
            (normalize_signature(sig)[0], target_context.codegen().magic_tuple(), self._code, _VERSIONS)
        )
        return self._folder / f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.kernel"

    def _read(self, path: Path) -> bytes | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            raise ValueError(f"checksum mismatch in {path.name}")
        return data[_DIGEST:]

    def _write(self, path: Path, data: bytes) -> None:
        if not path.is_absolute():
            raise FileNotFoundError("expected an absolute path; the home folder is not known")
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _described(value: Any) -> str:
    """A text that identifies a function's code, including functions in its closure.

    For functions outside this package, such as those of a user's task, it includes their callees and global
    constants: the cache folder is named after the sources of this package alone.
    """
    if isinstance(value, tuple):
        return repr([_described(item) for item in value])
    function = getattr(value, "py_func", value)
    if not isinstance(function, FunctionType):
        return repr(value)
    cells = [_described(cell.cell_contents) for cell in function.__closure__ or ()]
    if function.__module__.partition(".")[0] != __name__.partition(".")[0]:
        known = function.__globals__
        cells += [_described(known[name]) for name in function.__code__.co_names if name in known]
    return repr((function.__module__, function.__qualname__, _code_described(function.__code__), cells))


def _code_described(code: CodeType) -> str:
    """The instructions, constants and names of a function's code: ``marshal`` would count references too."""
    constants = [
        _code_described(constant) if isinstance(constant, CodeType) else repr(constant)
        for constant in code.co_consts
    ]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return repr((code.co_code, constants, names))


_warned: set[Path] = set()  # folders


@contextmanager
def _warning_once(folder: Path) -> Iterator[None]:
    """Convert cache failures into one warning per folder and process."""
    try:
        yield
    except Exception as error:  # damaged data can raise any exception
        if folder not in _warned:
            _warned.add(folder)
            warnings.warn(
                f"Cannot use the kernel cache in '{folder}' ({type(error).__name__}: {error}); kernels are "
                "compiled again. Free space there, or set XDG_CACHE_HOME to a folder that can be written.",
                RuntimeWarning,
                stacklevel=1,
            )


class _Notice:
    """Notice on stderr, once per process, when compilation has taken a second."""

    def __init__(self) -> None:
        self._seconds, self._begun = 0.0, 0.0
        self._timer: Timer | None = None
        self._told = False

    def begin(self) -> None:
        """Start timing the compilation of a kernel, under numba's lock."""
        if not self._told:
            self._begun = time.monotonic()
            self._timer = Timer(max(0.0, NOTICE_AFTER - self._seconds), self._tell)
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        """Stop timing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()  # no other thread may exist at a later fork
            self._timer = None
            self._seconds += time.monotonic() - self._begun

    def _tell(self) -> None:
        self._told = True
        with suppress(OSError, ValueError):  # stderr is a file on a full disk, or closed
            print("cartpole-phys: compiling kernels (once per machine)...", file=sys.stderr, flush=True)


_notice = _Notice()
