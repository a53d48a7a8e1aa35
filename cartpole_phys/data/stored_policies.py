"""Behavior policies stored in data set files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cartpole_phys.data.declared_env import declared_env
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.shards import MANIFEST
from cartpole_phys.policies.behavior import Behavior, from_description
from cartpole_phys.policies.resolve import NAMES
from cartpole_phys.utils.errors import InputError

DATA_SUFFIXES = (".hdf5", ".h5")


class StoredPolicy(NamedTuple):
    """The behavior policy of a data set, and its environment."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    behavior: Behavior


def is_dataset_path(word: str) -> bool:
    """Whether a policy argument is the path of a data set rather than a policy's name or a factory."""
    path = Path(word)
    return word not in NAMES and (
        word.endswith(DATA_SUFFIXES) or path.is_file() or (path / MANIFEST).is_file()
    )


def stored_policy(path: str | os.PathLike[str]) -> StoredPolicy:
    """Load the behavior policy of a file that this package built; of several, the last and best one.

    Raises:
        InputError: if there is no such file, or it does not describe its behavior policy.
    """
    if Path(path).is_dir():
        raise InputError(
            f"Expected a data set's file, got the folder {os.fspath(path)!r}; name one of the shards in it."
        )
    header = read_header(path)
    parts = header.metadata.get("parts")
    if not isinstance(parts, list) or not parts or not isinstance(parts[-1], Mapping):
        raise InputError(
            f"Expected a data set that stores its behavior policy, got {os.fspath(path)!r}, which stores "
            "none; use one from: build-dataset"
        )
    env_id, env_kwargs = declared_env(header.metadata)
    last = len(parts) - 1
    behavior = from_description(parts[last], header.weights.get(str(last), {}))
    return StoredPolicy(env_id, env_kwargs, behavior)
