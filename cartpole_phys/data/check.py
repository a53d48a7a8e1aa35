"""Runs the gates on a file; every build does so with what is on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from cartpole_phys.data.d4rl import Contents, read
from cartpole_phys.data.gates import GATES, Gate
from cartpole_phys.data.verdict import CannotTell, GateFailure

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"


@dataclass(frozen=True)
class GateResult:
    """What one gate said."""

    gate: str
    status: str  # PASSED, FAILED or NOT_APPLICABLE
    detail: str


def run_gate(gate: Gate, contents: Contents) -> GateResult:
    """One gate's verdict."""
    try:
        return GateResult(gate.__name__, PASSED, gate(contents))
    except GateFailure as failure:
        return GateResult(gate.__name__, FAILED, str(failure))
    except CannotTell as reason:
        return GateResult(gate.__name__, NOT_APPLICABLE, str(reason))


def run_gates(contents: Contents) -> Iterator[GateResult]:
    """Every gate's verdict, one after another."""
    return (run_gate(gate, contents) for gate in GATES)


def check(path: str | os.PathLike[str]) -> list[GateResult]:
    """Run every gate on a file.

    Raises:
        InputError: if the file cannot be read at all.
    """
    return list(run_gates(read(path)))
