"""Export to Minari: its HDF5 layout with one group per episode, written directly for speed.

Source: github.com/Farama-Foundation/Minari, ``minari/dataset/_storages/hdf5_storage.py`` (0.5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cartpole_phys.backends.make import spec_json
from cartpole_phys.data.declared_env import declared_backend
from cartpole_phys.data.hdf5.write_errors import hdf5_file
from cartpole_phys.data.score import are_references
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError, is_integer, require_extra
from cartpole_phys.utils.files import atomic_file, synchronize
from cartpole_phys.utils.typing import Array

NAMESPACE = "physcartpole"
DATA, METADATA, ARRAYS = "data", "metadata.json", "main_data.hdf5"
SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)
LINK_CREATION = h5py.h5p.create(h5py.h5p.LINK_CREATE)  # creates the groups in names such as a/b
LINK_CREATION.set_create_intermediate_group(True)
NAMESPACE_METADATA = "namespace_metadata.json"


def dataset_id(name: str) -> str:
    """Minari id of a data set, such as ``physcartpole/sac-medium-v0``."""
    short = name.removeprefix("physcartpole").lstrip("-")
    return f"{NAMESPACE}/{short}" if re.search(r"-v\d+$", short) else f"{NAMESPACE}/{short}-v0"


def datasets_folder() -> Path:
    """Folder in which Minari stores data sets.

    Raises:
        InputError: if Minari is not installed, or the folder cannot be created.
    """
    with require_extra("minari"):
        from minari.storage import get_dataset_path
    try:
        return Path(get_dataset_path())
    except OSError as error:
        raise InputError(
            f"Cannot create Minari's folder of data sets ({error.strerror}: '{error.filename}'); set another "
            "one with MINARI_DATASETS_PATH or --out."
        ) from error


def write(data: Episodes, folder: Path, identity: str) -> None:
    """Write all episodes into a new folder, as the Minari data set with the id ``identity``.

    As in Minari, infos have one row more than actions: the last row is unknown, and stored as NaN or 0.

    Raises:
        InputError: if the data set does not record its environment and provenance.
        OSError: if the disk is full or the folder cannot be written.
    """
    metadata = _metadata(data, identity)
    (folder / DATA).mkdir(parents=True)
    arrays = folder / DATA / ARRAYS
    with hdf5_file(arrays, "w", track_order=True) as (file, storage):
        for number in range(len(data)):
            _write_episode(h5py.h5g.create(file.id, b"episode_%d" % number), data, number)
            storage.raise_error()
    metadata["dataset_size"] = round(arrays.stat().st_size / 1e6, 1)
    (folder / DATA / METADATA).write_text(json.dumps(metadata), "utf-8")
    for path in (arrays, folder / DATA / METADATA, folder / DATA, folder):
        synchronize(path)


def register_namespace(root: Path) -> None:
    """Write the metadata of the namespace into a folder of Minari data sets, unless they exist."""
    path = root / NAMESPACE / NAMESPACE_METADATA
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            partial.write_text(json.dumps({"description": "CartPole physics, from cartpole-phys"}), "utf-8")


def _write_episode(group: h5py.h5g.GroupID, data: Episodes, number: int) -> None:
    episode = data[number]
    steps = len(episode.rewards)
    flags = np.zeros((2, steps), np.bool_)
    flags[:, -1] = episode.terminated, episode.truncated and not episode.terminated
    for name, value in (("id", number), ("total_steps", steps)):
        attribute = h5py.h5a.create(group, name.encode(), _hdf5_type(np.dtype(np.int64)), SCALAR)
        attribute.write(np.array(value))
    _write_array(
        group, "observations", np.concatenate([episode.observations, episode.final_observation[None]])
    )
    _write_array(group, "actions", episode.actions)
    _write_array(group, "rewards", episode.rewards)
    _write_array(group, "terminations", flags[0])
    _write_array(group, "truncations", flags[1])
    if episode.infos:
        infos = h5py.h5g.create(group, b"infos")
        for name, values in episode.infos.items():
            last = np.full_like(values[:1], np.nan if values.dtype.kind == "f" else 0)
            _write_array(infos, name, np.concatenate([values, last]))


def _write_array(group: h5py.h5g.GroupID, name: str, array: Array) -> None:
    """Add an array to a group, through h5py's low-level API, which takes half the time for small arrays."""
    space = h5py.h5s.create_simple(array.shape)
    stored = h5py.h5d.create(group, name.encode(), _hdf5_type(array.dtype), space, None, LINK_CREATION)
    stored.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array))


@cache
def _hdf5_type(dtype: np.dtype[Any]) -> h5py.h5t.TypeID:
    """HDF5 type of a NumPy dtype."""
    return h5py.h5t.py_create(dtype, logical=True)


def _metadata(data: Episodes, identity: str) -> dict[str, Any]:
    """Metadata of the Minari data set.

    Raises:
        InputError: if the data set lacks its provenance, or its environment is missing or not allowed for an
            untrusted file.
    """
    from minari import __version__
    from minari.serialization import serialize_space

    metadata, backend = data.metadata, declared_backend(data.metadata)
    provenance = [metadata.get(name) for name in ("algorithm", "tier", "command", "versions")]
    algorithm, tier, command, versions = provenance
    if None in provenance or not isinstance(versions, Mapping):
        raise InputError(
            "Expected a data set with the attributes algorithm, tier, command and versions, got one without; "
            "use one from: build-dataset"
        )
    spec = json.dumps(spec_json(backend.env_id, backend.env_kwargs))  # not the file's own, which is untrusted
    return {
        "dataset_id": identity,
        "minari_version": __version__,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "total_episodes": len(data),
        "total_steps": data.steps,
        "observation_space": serialize_space(backend.observation_space),
        "action_space": serialize_space(backend.action_space),
        "env_spec": spec,
        "eval_env_spec": spec,
        "algorithm_name": f"{algorithm}, tier {tier}",
        "description": f"Built with: {command}",
        "requirements": [f"cartpole-phys=={versions.get('cartpole-phys')}"],
        **_references(metadata.get("references")),
    }


def _references(references: Any) -> dict[str, Any]:
    """Reference returns under Minari's keys; empty if the data set has none."""
    if not are_references(references) or not is_integer(references["ref_min"].get("episodes")):
        return {}
    return {
        "ref_min_score": float(references["ref_min"]["mean"]),
        "ref_max_score": float(references["ref_max"]["mean"]),
        "num_episodes_average_score": int(references["ref_min"]["episodes"]),
    }
