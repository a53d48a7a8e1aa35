"""Metadata groups of D4RL's v2 data sets, ``metadata/…``, in addition to root attributes.

They are optional, because ``d4rl.sequence_dataset`` fails on files that have them (D4RL issue 222).

Source: github.com/Farama-Foundation/D4RL, ``scripts/generation/mujoco/collect_data.py``.
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
    """Contents of the groups by path: algorithm, and training step and weights of a single network.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, AttributeError: if no policy is described.
    """
    groups: dict[str, Any] = {"algorithm": _text(metadata["algorithm"])}
    parts = metadata["parts"]
    if len(parts) == 1 and parts[0].get("kind") == "network":
        groups["iteration"] = np.int32(parts[0]["iteration"])
        for name in ("nonlinearity", "output_distribution"):
            groups[f"policy/{name}"] = _text(parts[0][name])
        for name, array in weights["0"].items():
            groups["policy/" + name.replace(".", "/")] = array
    return groups


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
