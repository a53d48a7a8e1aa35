"""Numba compiler for functions that only kernels call, without machine code of their own.

By default numba emits machine code for every function, and wrappers for calls from Python and C, into which
the function is inlined and optimized again. Omitting both for functions that are only linked into kernels
reduces compile time by about a third.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager


class Fragment(JITCodeLibrary):
    """Optimized LLVM code without machine code."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0: there is no machine code."""
        return 0

    @property
    def codegen(self) -> Fragment:
        """The target of ``set_env``: this object, because there is no machine code."""
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing."""


class RawFragment(Fragment):
    """Unoptimized LLVM code, which is optimized once as part of its caller."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass


class FragmentCompiler(CompilerBase):
    """Numba's default passes, with a ``Fragment`` as output."""

    library: type[Fragment] = Fragment

    def define_pipelines(self) -> list[PassManager]:
        """The default passes, set up to write into the fragment."""
        state = self.state
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class RawFragmentCompiler(FragmentCompiler):
    """Numba's default passes, with a ``RawFragment`` as output."""

    library = RawFragment
