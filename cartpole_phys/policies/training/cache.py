"""Training runs from the cache: each recipe is trained only once, and all of its run kept in one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs

from cartpole_phys.policies.training.recipe import TrainingRecipe
from cartpole_phys.policies.training.run import TrainingRecording, TrainingRun
from cartpole_phys.utils.files import atomic_file
from cartpole_phys.utils.typing import Array

if TYPE_CHECKING:
    from cartpole_phys.policies.training.sb3 import OnCheckpoint

Arrays = Mapping[str, Array]

STEPS, MEAN_RETURNS = "steps", "mean_returns"
WEIGHTS, RECORDING = "weights/", "recording/"  # what names of the file's arrays begin with


class Cache(Enum):
    """How a training run uses the cache."""

    USE = "use"  # load the run; if there is none, train and save it
    REPLACE = "replace"  # train and save
    BYPASS = "bypass"  # train, without loading or saving


def training_run(
    recipe: TrainingRecipe, cache: Cache = Cache.USE, on_checkpoint: OnCheckpoint | None = None
) -> TrainingRun:
    """The run of a recipe, from the cache or trained now.

    Raises:
        InputError: if the environment cannot be made, or no checkpoint came into the goal's range.
    """
    path = Path(platformdirs.user_cache_dir("cartpole-phys")) / "agents" / f"{recipe.sha256}.safetensors"
    kept = load(path) if cache is Cache.USE else None
    if kept is not None:
        return kept
    from cartpole_phys.policies.training.envs import training_environment
    from cartpole_phys.policies.training.sb3 import train

    trained = train(recipe, training_environment(recipe.env_id, recipe.env_kwargs), on_checkpoint)
    if cache is not Cache.BYPASS:
        with suppress(OSError):  # a cache that cannot be written costs time, not the result
            save(path, trained)
    return trained


def save(path: Path, run: TrainingRun) -> None:
    """Write a run, whole or not at all.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    arrays: dict[str, Array] = {
        STEPS: run.steps,
        MEAN_RETURNS: run.mean_returns,
        **{WEIGHTS + name: array for name, array in run.weights.items()},
        **{RECORDING + name: array for name, array in run.recording.arrays.items()},
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    note = {"description": json.dumps(run.description), "sha256": _sha256(arrays)}
    with atomic_file(path) as partial:
        partial.write_bytes(to_bytes(arrays, metadata=note))


def load(path: Path) -> TrainingRun | None:
    """The run in a file, or None where there is no such file or it is not what was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            note = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if note["sha256"] != _sha256(arrays):
            return None
        return TrainingRun(
            description=json.loads(note["description"]),
            steps=arrays[STEPS],
            mean_returns=arrays[MEAN_RETURNS],
            weights=_below(arrays, WEIGHTS),
            recording=TrainingRecording(_below(arrays, RECORDING)),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _below(arrays: Arrays, prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): arrays[name] for name in sorted(arrays) if name.startswith(prefix)}


def _sha256(arrays: Arrays) -> str:
    """Hash of all arrays' names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
