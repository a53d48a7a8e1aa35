"""Run a function of D4RL for ``benchmarks.speeds.transitions``, in D4RL's virtual environment.

It saves the function's output once. Then, for each line on standard input, it measures one round and prints
one line of JSON; between rounds it waits, so that both sides are measured in turns.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, Any]  # arrays by name


def flat(output: Arrays | Iterable[Arrays]) -> Arrays:
    """The output of either function as arrays by name: concatenated episodes and their lengths."""
    if isinstance(output, Mapping):
        return output
    episodes = list(output)
    names = episodes[0] if episodes else ()
    joined = {name: np.concatenate([episode[name] for episode in episodes]) for name in names}
    return {**joined, "lengths": np.array([len(episode["rewards"]) for episode in episodes], dtype=np.int64)}


def main(function: str, arguments: Mapping[str, Any], data: Path, result: Path) -> None:
    """Save the function's output for the arrays of an npz file, then measure a round for each line."""
    # On import D4RL creates a download folder and warns of each missing simulator.
    os.environ.update(D4RL_DATASET_DIR=str(result.parent), D4RL_SUPPRESS_IMPORT_ERROR="1")
    import d4rl  # type: ignore[import-not-found]

    work = getattr(d4rl, function)
    with np.load(data) as file:
        arrays = dict(file)
    np.savez(result, **flat(work(None, arrays, **arguments)))
    for _ in sys.stdin:
        start = time.perf_counter()
        deque(work(None, arrays, **arguments), maxlen=0)  # goes through the episodes, keeps none
        seconds = time.perf_counter() - start
        answer = {"rows_per_second": len(arrays["rewards"]) / seconds, "version": version("d4rl")}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
