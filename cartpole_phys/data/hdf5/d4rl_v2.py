"""D4RL's own groups of version 2, ``metadata/…``, beside our attributes.

``d4rl.sequence_dataset`` fails on files that have them, so they are there only where they are asked for (D4RL
issue 222). Source: github.com/Farama-Foundation/D4RL, ``scripts/generation/mujoco/collect_data.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.data.hdf5.file import Weights
from cartpole_phys.data.hdf5.write_errors import hdf5_file

GROUP = "metadata"


def v2_metadata(metadata: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
    """What the groups hold, by path: the algorithm, and of a single network its training step and weights.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, AttributeError: if the metadata describe no policy.
    """
    held: dict[str, Any] = {"algorithm": _text(metadata["algorithm"])}
    parts = metadata["parts"]
    if len(parts) == 1 and parts[0].get("kind") == "network":
        held["iteration"] = np.int32(parts[0]["iteration"])
        for name in ("nonlinearity", "output_distribution"):
            held[f"policy/{name}"] = _text(parts[0][name])
        for name, array in weights["0"].items():
            held["policy/" + name.replace(".", "/")] = array
    return held


def add_v2_metadata(path: Path, metadata: Mapping[str, Any], weights: Weights) -> None:
    """Add the groups to a file.

    Raises:
        OSError: if the disk is full.
    """
    with hdf5_file(path, "r+") as (file, _):
        group = file.create_group(GROUP)
        for name, value in v2_metadata(metadata, weights).items():
            group[name] = value


def _text(value: str) -> np.bytes_:
    return np.bytes_(str(value).encode())
