"""Step EnvPool's CartPole-v1 for ``benchmarks.speeds.environment``, in EnvPool's virtual environment.

For each line on standard input it measures one round and prints one line of JSON. Between rounds it waits,
so that both sides are measured in turns.
"""

from __future__ import annotations

import json
import sys
import time

import envpool
import numpy as np

REPEATS = 100  # vector steps in a round


def main(num_envs: int, num_threads: int) -> None:
    """Measure one round for each line, all environments in each step."""
    envs = envpool.make_gymnasium("CartPole-v1", num_envs=num_envs, num_threads=num_threads, seed=0)
    envs.reset()
    actions = np.random.default_rng(0).integers(0, 2, (32, num_envs), dtype=np.int32)  # EnvPool's own type
    for _ in sys.stdin:
        start = time.perf_counter()
        for i in range(REPEATS):
            envs.step(actions[i % 32])
        seconds = time.perf_counter() - start
        answer = {"steps_per_second": REPEATS * num_envs / seconds, "version": envpool.__version__}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
