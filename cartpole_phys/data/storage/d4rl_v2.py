"""D4RL's own groups of version 2, ``metadata/…``, beside our attributes.

``d4rl.sequence_dataset`` fails on files that have them, so they are there only where they are asked for (D4RL
issue 222). Source: github.com/Farama-Foundation/D4RL, ``scripts/generation/mujoco/collect_data.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.data.storage.d4rl import Weights
from cartpole_phys.data.storage.hdf5_writing import hdf5_file

GROUP = "metadata"


def add_v2_metadata(path: Path, metadata: Mapping[str, Any], weights: Weights) -> None:
    """Add the groups to a file: the algorithm, and of a set of one network its training step and weights.

    Raises:
        OSError: if the disk is full.
    """
    parts = metadata["parts"]
    with hdf5_file(path, "r+") as (file, _):
        group = file.create_group(GROUP)
        group["algorithm"] = np.bytes_(str(metadata["algorithm"]).encode())
        if len(parts) != 1 or parts[0].get("kind") != "network":
            return
        group["iteration"] = np.int32(parts[0]["iteration"])
        policy = group.create_group("policy")
        for name in ("nonlinearity", "output_distribution"):
            policy[name] = np.bytes_(parts[0][name].encode())
        for name, array in weights["0"].items():
            policy[name.replace(".", "/")] = array
