"""Functions that only kernels call: their code is linked into the kernels, and never runs by itself.

Numba emits machine code for every function, and wrappers to call it from Python and from C, into which the
function is inlined and optimized again. Nothing calls these functions so; without that, compiling takes about
two thirds of the time.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager


class Fragment(JITCodeLibrary):
    """Optimized LLVM code that machine code is not made of."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """There is no machine code to call."""
        return 0

    @property
    def codegen(self) -> Fragment:
        """Where machine code gets its environment from: there is none."""
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """Nothing to do."""


class RawFragment(Fragment):
    """LLVM code as it was generated: what calls it optimizes it, once."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass


class FragmentCompiler(CompilerBase):
    """Numba's own passes, to a fragment."""

    library: type[Fragment] = Fragment

    def define_pipelines(self) -> list[PassManager]:
        """The passes, and what they write the code into."""
        state = self.state
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class RawFragmentCompiler(FragmentCompiler):
    """The same, to a raw fragment."""

    library = RawFragment
