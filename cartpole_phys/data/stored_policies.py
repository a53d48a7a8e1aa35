"""The policy that acted in a data set, made again from its file."""

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


class Acted(NamedTuple):
    """What acted in a data set, and where."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    behaviour: Behavior


def names_file(word: str) -> bool:
    """Whether a word for a policy means a data set's file rather than a law or a factory."""
    path = Path(word)
    return word not in NAMES and (
        word.endswith(DATA_SUFFIXES) or path.is_file() or (path / MANIFEST).is_file()
    )


def behaviour_of(path: str | os.PathLike[str]) -> Acted:
    """The behaviour policy of a file that this package built, the last (best) one where there were several.

    Raises:
        InputError: if there is no such file, or it does not describe what acted in it.
    """
    if Path(path).is_dir():
        raise InputError(
            f"Expected a data set's file, but {os.fspath(path)!r} is a folder; name one of the shards in it."
        )
    header = read_header(path)
    parts = header.metadata.get("parts")
    if not isinstance(parts, list) or not parts or not isinstance(parts[-1], Mapping):
        raise InputError(
            f"Expected a data set with its behaviour policy in it, but {os.fspath(path)!r} does not say what "
            "acted; use one from: build-dataset"
        )
    env_id, env_kwargs = declared_env(header.metadata)
    last = len(parts) - 1
    behaviour = from_description(parts[last], header.weights.get(str(last), {}))
    return Acted(env_id, env_kwargs, behaviour)
