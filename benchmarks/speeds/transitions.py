"""Rows per second against D4RL's functions: ``python -m benchmarks.speeds.transitions``.

D4RL has its own virtual environment, which ``make bench`` installs; if that fails, its rows are left out.
Both sides must return bit-for-bit equal arrays, which is checked before the measurement.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speeds.peers.d4rl_peer import flat
from benchmarks.speeds.side_by_side import (
    Child,
    PeerUnavailableError,
    compare,
    left_out,
    rate,
    run,
)
from cartpole_phys.data import transitions
from cartpole_phys.policies.controllers import proportional, uniform
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array

Arrays = Mapping[str, Any]  # arrays by name

BRIEF, LONG = uniform(), proportional(1.15, continuous=True)  # episodes of 26 and of 420 steps
WORK = (
    ("qlearning_dataset", BRIEF, 200_000),
    ("qlearning_dataset", BRIEF, 1_000_000),
    ("sequence_dataset", BRIEF, 200_000),
    ("sequence_dataset", LONG, 200_000),
)
FOLDER = Path(__file__).parent
RESULT = FOLDER.parent / "results" / "transitions.json"
D4RL_PYTHON = FOLDER.parent.parent / ".venv-d4rl" / "bin" / "python"


def d4rl(function: str, arrays: Arrays, folder: Path, **arguments: Any) -> Child:
    """D4RL's function in a child process, which first saves its output as ``result.npz``."""
    np.savez(folder / "data.npz", **arrays)
    # -I: not this process's module paths, nor this folder's, whose names must not shadow D4RL's.
    script = [str(D4RL_PYTHON), "-I", str(FOLDER / "peers" / "d4rl_peer.py"), function, json.dumps(arguments)]
    return Child([*script, str(folder / "data.npz"), str(folder / "result.npz")])


def differences(function: str, arrays: Arrays, folder: Path, **arguments: Any) -> list[str]:
    """Names of the arrays in which our strict output and ``result.npz`` are not bit-for-bit equal."""
    ours = flat(getattr(transitions, function)(arrays, strict_d4rl=True, **arguments))
    with np.load(folder / "result.npz") as theirs:
        return [name for name in sorted({*ours, *theirs}) if not _same(ours.get(name), theirs.get(name))]


def _same(a: Array | None, b: Array | None) -> bool:
    """Whether two arrays have the same dtype, shape and content."""
    if a is None or b is None:
        return False
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def _beside_d4rl(function: str, policy: CompiledPolicy, steps: int, rounds: int) -> dict[str, Any]:
    """One comparison, or the reason that it is missing."""
    episodes = collect(CartPole(), policy, steps, seed=0)
    arrays = episodes.as_d4rl()
    work = f"{function}, {steps:,} rows in {len(episodes):,} episodes"

    def convert() -> None:
        deque(getattr(transitions, function)(arrays, strict_d4rl=True), maxlen=0)

    try:
        with tempfile.TemporaryDirectory() as name, d4rl(function, arrays, Path(name)) as child:
            version = child.ask()["version"]
            differing = differences(function, arrays, Path(name))
            if differing:
                raise SystemExit(f"error: {work} should give what D4RL gives, but not {', '.join(differing)}")
            row = compare(
                work,
                "D4RL",
                lambda: rate(convert, each=steps),
                lambda: float(child.ask()["rows_per_second"]),
                rounds,
            )
        return {**row, "peer_version": version}
    except PeerUnavailableError as error:
        return left_out(work, "D4RL", f"{error} (make bench installs D4RL)")


def measure(rounds: int) -> list[dict[str, Any]]:
    """All comparisons."""
    return [_beside_d4rl(function, policy, steps, rounds) for function, policy, steps in WORK]


if __name__ == "__main__":
    run(measure, RESULT, "Rows beside D4RL's own functions")
