"""Cache of training runs: one file per recipe with all checkpoints and the recording."""

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
WEIGHTS, RECORDING = "weights/", "recording/"  # prefixes of array names in the file


class Cache(Enum):
    """How a training run uses the cache."""

    USE = "use"  # load the run; if there is none, train and save it
    REPLACE = "replace"  # train and save
    BYPASS = "bypass"  # train, without loading or saving


def training_run(
    recipe: TrainingRecipe, cache: Cache = Cache.USE, on_checkpoint: OnCheckpoint | None = None
) -> TrainingRun:
    """The run of a recipe, loaded from the cache or trained.

    Raises:
        InputError: if the environment cannot be created, or no checkpoint lies in the goal's range.
    """
    path = Path(platformdirs.user_cache_dir("cartpole-phys")) / "agents" / f"{recipe.sha256}.safetensors"
    if cache is Cache.USE and (cached := load(path)) is not None:
        return cached
    from cartpole_phys.policies.training.envs import training_environment
    from cartpole_phys.policies.training.sb3 import train

    run = train(recipe, training_environment(recipe.env_id, recipe.env_kwargs), on_checkpoint)
    if cache is not Cache.BYPASS:
        with suppress(OSError):  # without the cache, the next build only takes longer
            save(path, run)
    return run


def save(path: Path, run: TrainingRun) -> None:
    """Write a run atomically.

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
    metadata = {"description": json.dumps(run.description), "sha256": _sha256(arrays)}
    with atomic_file(path) as partial:
        partial.write_bytes(to_bytes(arrays, metadata=metadata))


def load(path: Path) -> TrainingRun | None:
    """The run in a file; None if the file is missing, damaged or fails its checksum."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if metadata["sha256"] != _sha256(arrays):
            return None
        return TrainingRun(
            description=json.loads(metadata["description"]),
            steps=arrays[STEPS],
            mean_returns=arrays[MEAN_RETURNS],
            weights=_with_prefix(arrays, WEIGHTS),
            recording=TrainingRecording(_with_prefix(arrays, RECORDING)),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _with_prefix(arrays: Arrays, prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): arrays[name] for name in sorted(arrays) if name.startswith(prefix)}


def _sha256(arrays: Arrays) -> str:
    """Hash of the names, types, shapes and values of arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
