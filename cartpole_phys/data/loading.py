"""Loading of data sets: a file into memory, or a folder of shards on demand."""

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
    """The episodes of a D4RL HDF5 file, with its metadata; or of a folder of shards, read when asked for.

    Args:
        path: of a file or a folder, or the name of a released data set, which is fetched into the cache.
            A file that ends in .pkl is a list of episodes as the Decision Transformer's own code has them.

    Raises:
        InputError: if there is no such data set, or it does not hold D4RL's arrays with equally many rows.
    """
    place = Path(path)
    if not place.exists():
        place = _fetched(os.fspath(path))
    if place.suffix == PICKLE_SUFFIX:
        return read_pickle(place)
    return ShardedEpisodes(place, load_file) if place.is_dir() else load_file(place)


def _fetched(name: str) -> Path:
    """The file of a released data set; of any other name the name, which whoever opens it refuses.

    Raises:
        InputError: if it cannot be fetched, or the name is nearly that of a released one.
    """
    if not is_name(name):
        if similar := similar_names(name):
            raise InputError(f"There is no data set {name!r}; did you mean {' or '.join(similar)}?")
        return Path(name)
    try:
        return fetch(name)
    except InputError as error:
        own = Path(f"{name}.hdf5")
        if not own.is_file():
            raise
        raise InputError(
            f"The released {name} cannot be fetched, but a file of that name is here; to read it, name the "
            f"file: {own}"
        ) from error


def load_whole(path: str | os.PathLike[str]) -> Episodes:
    """The same, all of it in memory, also of a folder of shards; see ``load_dataset``."""
    data = load_dataset(path)
    return data.load() if isinstance(data, ShardedEpisodes) else data


def load_file(path: str | os.PathLike[str]) -> Episodes:
    """The episodes of one file; see ``load_dataset``."""
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
    """The environment of a data set, and its episodes split into training and validation.

    Args:
        path: as for ``load_dataset``.
        share: of the episodes that are for training.
        seed: decides which.

    Raises:
        InputError: if there is no such data set, or it names no environment, or one that cannot be made or
            that a file may not ask for.
    """
    whole = load_whole(path)
    env_id, env_kwargs = declared_env(whole.metadata)
    train, validation = whole.split(share, seed)
    return make(find_spec(env_id), env_kwargs), train, validation
