"""Export to OGBench's npz: flat arrays with one extra row per episode for its final observation.

The format has no rewards and no timeouts: ``terminals`` marks the last row of every episode, terminated or
truncated. Source: github.com/seohongpark/ogbench, ``ogbench/utils.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cartpole_phys.episodes import Episodes


def write(data: Episodes, path: Path) -> None:
    """Write all episodes; the action of each extra row is 0."""
    ends = data.offsets[1:]
    terminals = np.zeros(data.steps + len(data), np.float32)
    terminals[ends + np.arange(len(data))] = 1.0
    observations = np.insert(data.observations, ends, data.final_observations, axis=0)
    actions = np.insert(data.actions, ends, 0, axis=0)
    with path.open("wb") as file:  # np.savez would append .npz to a path
        np.savez_compressed(file, observations=observations, actions=actions, terminals=terminals)
