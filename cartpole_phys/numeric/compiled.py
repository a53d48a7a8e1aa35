"""Compiles the numeric kernels with numba, and keeps their machine code between processes.

Numba's own cache looks only at the file a kernel stands in, so an edit of a function that the kernel
calls from another file would go unnoticed. The cache folder is therefore named after a hash of every
file that defines kernels: one edit, a new folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import platformdirs

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).parent.parent


def kernel_sources(package: Path = PACKAGE) -> list[Path]:
    """Every file of the package that defines compiled kernels, in a fixed order."""
    return [
        path
        for path in sorted(package.rglob("*.py"))
        if "cartpole_phys.numeric.compiled" in path.read_text("utf-8")
    ]


def source_hash(package: Path = PACKAGE) -> str:
    """A short hash over all kernel sources of the package."""
    digest = hashlib.sha256()
    for path in kernel_sources(package):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _cache_folder() -> Path | None:
    """The folder for machine code of these sources, or None where the disk cannot be written."""
    folder = Path(platformdirs.user_cache_dir("cartpole-phys")) / "kernels" / source_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
    except OSError:
        return None
    return folder


_CACHE_FOLDER = _cache_folder()
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False}


def _cached(options: dict[str, Any]) -> Callable[[Function], Function]:
    """Numba's compiler with these options, and with the machine code kept in our folder."""

    def compile_cached(function: Function) -> Function:
        config: Any = numba.config
        default = config.CACHE_DIR
        if _CACHE_FOLDER is not None:
            config.CACHE_DIR = str(_CACHE_FOLDER)
        try:
            return cast(Function, numba.njit(cache=_CACHE_FOLDER is not None, **options)(function))
        finally:
            config.CACHE_DIR = default

    return compile_cached


def kernel(function: Function) -> Function:
    """Compile a function that Python calls: cached on disk, without the interpreter lock.

    No fast-math: every operation rounds as IEEE 754 says, so the bits do not depend on the processor.
    """
    return _cached({**_OPTIONS, "nogil": True})(function)


def quick_kernel(function: Function) -> Function:
    """Compile a function that works for less than a microsecond, so that what surrounds a call counts.

    It keeps the interpreter lock and counts no references to its arguments, which together takes a third off
    a call; so it must not make arrays.
    """
    return _cached({**_OPTIONS, "_nrt": False})(function)


def inlined(function: Function) -> Function:
    """Compile a function that only kernels call: always inlined, so that their loops can be vectorised."""
    return cast(Function, numba.njit(forceinline=True, **_OPTIONS)(function))
