"""Edited copies of data sets with recomputed hashes, as an adversary could create them."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.data.checks.run import FAILED, check
from cartpole_phys.data.hdf5.file import Contents, read, write

Arrays = dict[str, np.ndarray]
Weights = dict[str, dict[str, np.ndarray]]
Edit = Callable[[Arrays, dict[str, Any]], None]


def failing(path: Path) -> list[str]:
    """Names of the gates that fail."""
    return [result.gate for result in check(path) if result.status == FAILED]


def refuting(path: Path) -> list[str]:
    """Names of the gates that found a defect, without those that a defect makes undecidable."""
    failed = [result for result in check(path) if result.status == FAILED]
    return [result.gate for result in failed if not result.detail.startswith("not proven: ")]


def edited_copy(
    source: Path, target: Path, edit: Edit, reweigh: Callable[[Weights], None] = lambda weights: None
) -> Path:
    """Write a copy of a file with its arrays and metadata edited, and the weights of its policies."""
    contents = read(source)
    arrays = {name: array.copy() for name, array in contents.arrays.items()}
    weights = {
        part: {name: array.copy() for name, array in own.items()} for part, own in contents.weights.items()
    }
    metadata = copy.deepcopy(dict(contents.metadata))
    edit(arrays, metadata)
    reweigh(weights)
    write(target, Contents(arrays, metadata, weights))
    return target
