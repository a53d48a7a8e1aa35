"""Export of a data set to another offline-RL format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cartpole_phys.data.building.write import file_exists_error
from cartpole_phys.data.exports import ogbench, parquet
from cartpole_phys.data.exports import pickle as pickled
from cartpole_phys.data.loading import load_whole
from cartpole_phys.data.recipe import is_plain
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file, atomic_folder, reporting_write_errors

MINARI = "minari"
# file suffix and writer of each format
FILES: Mapping[str, tuple[str, Callable[[Episodes, Path], None]]] = {
    "parquet": (".parquet", parquet.write),
    "pickle": (pickled.SUFFIX, pickled.write),
    "ogbench": (".npz", ogbench.write),
}
FORMATS = (MINARI, *FILES)


@dataclass(frozen=True)
class Exported:
    """Path and summary of an export."""

    path: Path
    name: str  # to load it with: the file's path, or the id in Minari
    transitions: int
    episodes: int


def export(
    path: str | os.PathLike[str], to: str, out: Path | None = None, overwrite: bool = False
) -> Exported:
    """Write a data set in another format.

    Args:
        path: a D4RL HDF5 file, or a folder of shards.
        to: one of ``FORMATS``.
        out: output folder; by default the folder of the file, or of Minari's data sets.
        overwrite: replace existing files.

    Raises:
        InputError: if the format is unknown, ``out`` names a file, the data set cannot be read, an optional
            dependency is missing, or the output exists.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    if to in FILES and out is not None and out.suffix == FILES[to][0] and not out.is_dir():
        raise InputError(f"Expected --out to name a folder, got the file '{out}'; omit the file name.")
    source = Path(path)
    data = load_whole(source)
    name = str(data.metadata.get("dataset_name"))
    if not is_plain(name):  # untrusted file: its name must not contain a path
        name = source.name.removesuffix(".hdf5")
    if to == MINARI:
        return _to_minari(data, name, out, overwrite)
    suffix, write = FILES[to]
    target = (out or source.parent) / f"{name}{suffix}"
    _require_absent(target, overwrite)
    with reporting_write_errors(target), atomic_file(target) as partial:
        write(data, partial)
    return Exported(target, os.fspath(target), data.steps, len(data))


def _to_minari(data: Episodes, name: str, out: Path | None, overwrite: bool) -> Exported:
    from cartpole_phys.data.exports import minari

    identity, root = minari.dataset_id(name), out or minari.datasets_folder()
    target = root / identity
    _require_absent(target, overwrite)
    with reporting_write_errors(root):
        minari.register_namespace(root)
    with reporting_write_errors(target), atomic_folder(target) as partial:
        minari.write(data, partial, identity)
    return Exported(target, identity, data.steps, len(data))


def _require_absent(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise file_exists_error(path, "--out")
