"""Loading of data sets: a file into memory, a folder of shards lazily."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym

from cartpole_phys.backends.make import find_spec, make
from cartpole_phys.data.declared_env import declared_env
from cartpole_phys.data.exports.pickle import SUFFIX as PICKLE_SUFFIX
from cartpole_phys.data.exports.pickle import read as read_pickle
from cartpole_phys.data.fetch import fetch, is_name, similar_names
from cartpole_phys.data.hdf5.file import REQUIRED, Reader
from cartpole_phys.data.shards import ShardedEpisodes
from cartpole_phys.episodes import Episodes, d4rl_layout
from cartpole_phys.utils.errors import InputError


def load_dataset(path: str | os.PathLike[str]) -> Episodes | ShardedEpisodes:
    """Load a data set: the episodes and metadata of a D4RL HDF5 file, or of a folder of shards, read lazily.

    Args:
        path: of a file or a folder, or the name of a released data set, which is fetched into the cache.
            A file that ends in .pkl is a list of episodes as in the Decision Transformer's own code.

    Raises:
        InputError: if there is no such data set, or it lacks D4RL's arrays with equally many rows.
    """
    file = Path(path)
    if not file.exists():
        file = _fetched(os.fspath(path))
    if file.suffix == PICKLE_SUFFIX:
        return read_pickle(file)
    return ShardedEpisodes(file, load_file) if file.is_dir() else load_file(file)


def _fetched(name: str) -> Path:
    """Fetch a released data set; any other name is returned as a path, and opening it raises the error.

    Raises:
        InputError: if it cannot be fetched, or the name is a misspelled one of a released data set.
    """
    if not is_name(name):
        if similar := similar_names(name):
            raise InputError(f"There is no data set {name!r}; did you mean {' or '.join(similar)}?")
        return Path(name)
    try:
        return fetch(name)
    except InputError as error:
        local = Path(f"{name}.hdf5")
        if not local.is_file():
            raise
        raise InputError(
            f"The released {name} cannot be fetched, but the working directory has a file of that name; to "
            f"read it, use: {local}"
        ) from error


def load_whole(path: str | os.PathLike[str]) -> Episodes:
    """Load a file or a folder of shards as a whole into memory; see ``load_dataset``."""
    data = load_dataset(path)
    return data.load() if isinstance(data, ShardedEpisodes) else data


def load_file(path: str | os.PathLike[str]) -> Episodes:
    """Load the episodes of one HDF5 file; see ``load_dataset``."""
    with Reader(path) as reader:
        header = reader.header
        required = REQUIRED if header.has_recipe else d4rl_layout.REQUIRED
        missing = [name for name in required if name not in header.aligned]
        if missing:
            raise InputError(
                f"Expected D4RL's arrays {', '.join(required)} with equally many rows in "
                f"{os.fspath(path)!r}, but {missing[0]!r} is missing or of another length; see: "
                "cartpole-phys check FILE"
            )
        return Episodes.from_d4rl(reader.rows(header.aligned), header.metadata)


def make_env_and_dataset(
    path: str | os.PathLike[str], share: float = 0.9, seed: int = 0
) -> tuple[gym.Env[Any, Any], Episodes, Episodes]:
    """Create the environment of a data set and split its episodes into training and validation.

    Args:
        path: as for ``load_dataset``.
        share: fraction of the episodes that go to the training set.
        seed: random seed of the split.

    Raises:
        InputError: if there is no such data set, or it names no environment, or one that cannot be created
            or is not allowed for an untrusted file.
    """
    whole = load_whole(path)
    env_id, env_kwargs = declared_env(whole.metadata)
    train, validation = whole.split(share, seed)
    return make(find_spec(env_id), env_kwargs), train, validation
