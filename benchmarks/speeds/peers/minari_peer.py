"""Collect transitions with Minari's DataCollector for ``benchmarks.speeds.building``.

For each line on standard input it collects and saves one data set and prints one line of JSON. Between rounds
it waits, so that both sides are measured in turns. Process start and imports are not counted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version

import gymnasium as gym
import numpy as np

import cartpole_phys

gym.register_envs(cartpole_phys)

ENV_ID = "PhysCartPole-v0"
TRANSITIONS = 20_000


def collect(gain: float, dataset_id: str) -> float:
    """Roll out the proportional policy, save the data set, and return the duration in seconds."""
    from minari import DataCollector

    start = time.perf_counter()
    env = DataCollector(gym.make(ENV_ID))
    observation, _ = env.reset(seed=0)
    for _ in range(TRANSITIONS):
        action = np.clip(np.array([gain * observation[2]], np.float32), -1.0, 1.0)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
    # With both references Minari does not measure them, which would take longer than the collecting.
    env.create_dataset(dataset_id, algorithm_name="heuristic", ref_min_score=0.0, ref_max_score=1.0)
    return time.perf_counter() - start


def main(gain: float) -> None:
    """Collect one data set for each line."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        for number, _ in enumerate(sys.stdin):
            seconds = collect(gain, f"cartpole/heuristic-v{number}")
            answer = {"rows_per_second": TRANSITIONS / seconds, "version": version("minari")}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
