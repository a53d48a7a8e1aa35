"""The kernel cache is invalidated by an edit of any kernel source."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

from cartpole_phys.batch import Columns
from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.step import Kind, parts_of
from cartpole_phys.numeric import compiled
from cartpole_phys.numeric.compiled import PACKAGE, kernel_sources, source_hash
from cartpole_phys.system import CartPole
from cartpole_phys.tasks.balance import BALANCE

PROGRAM = (
    "import numpy as np; from cartpole_phys.physics import Params, energy;"
    "print(energy(np.array([0.0, 0.0, 0.5, 0.0]), Params()))"
)


def test_hash_covers_all_files_with_kernels() -> None:
    names = {path.name for path in kernel_sources()}
    assert {
        "physics.py",
        "swing_up.py",
        "step.py",
        "scalar.py",
        "closed_loop.py",
        "integrators.py",
        "elementary.py",
        "philox.py",
        "seed_keys.py",
        "mlp.py",
        "action_distributions.py",
        "policy_call.py",
    } <= names


def test_edited_callees_are_recompiled(tmp_path: Path) -> None:
    copy = tmp_path / "cartpole_phys"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = source_hash(copy)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def joules() -> float:
        command = [sys.executable, "-c", PROGRAM]
        return float(
            subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
            ).stdout
        )

    first = joules()
    assert joules() == first
    callee = copy / "numeric" / "elementary.py"
    text = callee.read_text("utf-8")
    assert "else cosine_out)" in text
    callee.write_text(text.replace("else cosine_out)", "else 2.0 * cosine_out)"), "utf-8")
    assert source_hash(copy) != before
    assert joules() == 2 * first


def _half(x: float) -> float:
    return 0.5 * x


@pytest.mark.parametrize("decorator", ["inlined", "inlined_once"])
def test_inlined_functions_are_not_compiled_separately(
    decorator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each call level recompiles its callees, and a cold start takes longer."""
    monkeypatch.setattr(compiled, "CACHE_FOLDER", tmp_path)
    half: Any = getattr(compiled, decorator)(_half)
    quarter = compiled.kernel(lambda x: half(half(x)))
    assert quarter(3.0) == 0.75
    (result,) = half.overloads.values()
    address_of = result.library.get_pointer_to_function
    assert address_of(result.fndesc.llvm_func_name) == 0
    assert address_of(result.fndesc.llvm_cpython_wrapper_name) == 0


def test_friction_loop_is_vectorized() -> None:
    """LLVM vectorizes the loop over carts and keeps a scalar loop for the remainder."""
    parts = parts_of("euler", Kind(False, True, BALANCE.reward, BALANCE.observation))
    move, integrate, one_angle = parts.move, parts.integrate, parts.one_angle

    @numba.njit(error_model="numpy")
    def move_some(memory: Any, settings: Any, first: int, last: int) -> None:
        move(integrate, one_angle, memory, memory[m.PUSH], first, last, settings[0])

    columns = Columns(CartPole(), 1)
    move_some(columns.memory, columns.settings, 0, 1)
    (code,) = move_some.inspect_llvm().values()
    together, alone = (len(re.findall(rf"= fdiv {kind} ", code)) for kind in (r"<\d+ x double>", "double"))
    assert together >= alone > 0
