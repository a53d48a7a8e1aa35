"""Numba decorators of kernels, with an on-disk cache of their machine code.

The cache folder (``kernel_cache.py``) is named after a hash of every file that defines kernels, so that an
edit in any of them invalidates the cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import platformdirs
from numba.core import types

from cartpole_phys.numeric.fragments import FragmentCompiler, RawFragmentCompiler
from cartpole_phys.numeric.kernel_cache import KernelCache

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


CACHE_FOLDER = Path(platformdirs.user_cache_dir("cartpole-phys")) / "kernels" / source_hash()
# Set by NUMBA_DISABLE_JIT=1: kernels run as Python, for debugging.
DISABLED = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False}
_INTERNAL: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # only kernels call it


def _cached(function: Function, **options: Any) -> Function:
    """Compile a function with these options, and cache its machine code."""
    dispatcher: Any = numba.njit(**_OPTIONS, **options)(function)
    if not DISABLED:
        dispatcher._cache = KernelCache(dispatcher.py_func, CACHE_FOLDER)
    return cast(Function, dispatcher)


def kernel(function: Function) -> Function:
    """Compile a function that Python calls: cached on disk, releasing the interpreter lock.

    No fast-math: every operation rounds according to IEEE 754, so the bits do not depend on the processor.
    """
    return _cached(function, nogil=True)


def quick_kernel(function: Function) -> Function:
    """Compile a function that runs for less than a microsecond, with a lower call overhead.

    It holds the interpreter lock and does no reference counting, which makes a call a third faster; therefore
    it must not allocate arrays.
    """
    return _cached(function, _nrt=False)


def _fragment(function: Function, compiler: type[FragmentCompiler]) -> Function:
    options = {"forceinline": True, **_INTERNAL, **_OPTIONS}
    dispatcher: Any = numba.njit(pipeline_class=compiler, **options)(function)
    if not DISABLED:
        dispatcher.get_call_template = partial(_template, dispatcher.get_call_template)
    return cast(Function, dispatcher)


def _template(template: Callable[..., Any], args: Sequence[Any], kws: dict[str, Any]) -> Any:
    """Compile for the type of a literal, not for each value: LLVM propagates constants after inlining."""
    return template([types.unliteral(arg) for arg in args], kws)


def inlined(function: Function) -> Function:
    """Compile a function for use in kernels: always inlined, so that their loops can be vectorized."""
    return _fragment(function, FragmentCompiler)


def inlined_once(function: Function) -> Function:
    """Compile the main function of a kernel: always inlined, and optimized only as part of the kernel.

    Use ``inlined`` for functions with loops to vectorize: in a large function LLVM vectorizes fewer of them.
    """
    return _fragment(function, RawFragmentCompiler)
