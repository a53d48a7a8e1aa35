"""Build of a release: all data sets of the catalog with their metadata files, in one folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.build import Options, build
from cartpole_phys.data.building.commit import commit_date
from cartpole_phys.data.checks.run import FAILED, run_gates
from cartpole_phys.data.exports.export import export
from cartpole_phys.data.hashing import file_sha256
from cartpole_phys.data.hdf5.file import Header, Reader, read_header
from cartpole_phys.data.recipe import DATASET_VERSION, released_recipes
from cartpole_phys.data.release.card import card
from cartpole_phys.data.release.croissant import FORMATS, croissant
from cartpole_phys.utils.choices import choices
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file, reporting_write_errors
from cartpole_phys.utils.progress import Progress, Silent

MANIFEST, SUMS, LICENSE, CITATION = "manifest.json", "SHA256SUMS", "LICENSE", "CITATION.cff"
CARDS = "cards"
LICENSE_TEXT = """These data sets are licensed under Creative Commons Attribution 4.0 International:
https://creativecommons.org/licenses/by/4.0/legalcode
"""
CITATION_TEXT = """cff-version: 1.2.0
message: If you use these data sets, please cite them as below.
title: cartpole-phys data sets
type: dataset
version: {version}
authors:
  - name: The cartpole-phys developers
license: CC-BY-4.0
"""


def release(folder: Path, only: str = "*", jobs: int = 0, progress: Progress | None = None) -> list[str]:
    """Build the data sets of the catalog whose names match, with all metadata files of a release.

    An interrupted build is resumed.

    Args:
        folder: output folder, created if needed; existing files that pass every gate are kept.
        only: glob pattern of names, such as ``physcartpole-sac-*``.
        jobs: number of threads; 0 for all processors.
        progress: receives the number of finished data sets.

    Returns:
        Names of all data sets in the folder.

    Raises:
        InputError: if no name matches, a tier cannot be reached, or the folder cannot be written or contains
            a different manifest.
    """
    recipes = released_recipes()
    names = [name for name in recipes if fnmatch(name, only)]
    if not names:
        raise InputError(f"No data set matches {only!r}; {choices(only, recipes)}")
    progress, date = progress or Silent(), _date(folder / MANIFEST)
    progress.stage("releasing")
    for done, name in enumerate(names):
        progress.shards(done, len(names))
        path = folder / f"{name}.hdf5"
        if not _is_valid(path, name):
            path.with_suffix(".parquet").unlink(missing_ok=True)  # exported from the replaced file
            build(recipes[name], Options(folder, jobs=jobs, overwrite=True), Silent())
    progress.shards(len(names), len(names))
    present = [name for name in recipes if (folder / f"{name}.hdf5").is_file()]
    with reporting_write_errors(folder):
        _describe(folder, present, date)
    return present


def _is_valid(path: Path, name: str) -> bool:
    """Whether a file is the named data set and passes every gate."""
    if not path.is_file():
        return False
    try:
        with Reader(path) as reader:
            is_named = reader.header.metadata.get("dataset_name") == name
            return is_named and all(result.status != FAILED for result in run_gates(reader, Silent()))
    except InputError:
        return False


def _describe(folder: Path, names: Sequence[str], date: str) -> None:
    """Write parquet, weights, cards, Croissant metadata, manifest, license, citation and checksums."""
    (folder / CARDS).mkdir(exist_ok=True)
    entries, hashes = {}, dict[Path, str]()
    for name in names:
        path, parquet = (folder / f"{name}{suffix}" for suffix in FORMATS)
        if not parquet.exists():
            export(path, "parquet", folder)
        own = {file: file_sha256(file) for file in (path, parquet)}
        header, size = read_header(path), path.stat().st_size
        _write(folder / CARDS / f"{name}.md", card(name, header.metadata, size, own[path]))
        _write_weights(folder / f"{name}.safetensors", header)
        metadata = croissant(name, DATASET_VERSION, date, header, own)
        _write(folder / f"{name}.croissant.json", json.dumps(metadata, indent=2) + "\n")
        entries[name] = _manifest_entry(header, own[path], size)
        hashes |= own
    manifest = {"version": DATASET_VERSION, "date": date, "files": entries}
    _write(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    _write(folder / LICENSE, LICENSE_TEXT)
    _write(folder / CITATION, CITATION_TEXT.format(version=DATASET_VERSION))
    _write_sums(folder, hashes)


def _write_sums(folder: Path, known: Mapping[Path, str]) -> None:
    """Write the checksum of every file; ``known`` has those of large files."""
    excluded = (SUMS, "*.partial")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(fnmatch(path.name, pattern) for pattern in excluded)
    )
    lines = [
        f"{known.get(path) or file_sha256(path)}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    _write(folder / SUMS, "\n".join(lines) + "\n")


def _date(manifest: Path) -> str:
    """Date of the release: of the manifest, else of the current commit, else today."""
    if manifest.is_file():
        return read_manifest_value(manifest, "date")
    return commit_date() or datetime.now(UTC).date().isoformat()


def read_manifest_value(manifest: Path, name: str) -> str:
    """Value of a top-level key in the manifest of a release.

    Raises:
        InputError: if the file has no such key, as other manifests.
    """
    try:
        return str(json.loads(manifest.read_text("utf-8"))[name])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"Expected the manifest of a release, with its {name}, but '{manifest}' is another file; "
            "choose another folder."
        ) from error


def _manifest_entry(header: Header, sha256: str, size: int) -> dict[str, Any]:
    """Entry of the manifest for one data set."""
    metadata: Mapping[str, Any] = header.metadata
    return {
        "bytes": size,
        "sha256": sha256,
        "arrays": metadata["sha256"],
        **metadata["summary"],
        "scores": metadata["scores"],
        "command": metadata["command"],
        "versions": metadata["versions"],
        "git_commit": metadata["git_commit"],
    }


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, "utf-8")


def _write_weights(path: Path, header: Header) -> None:
    """Write the weights of the policies to a safetensors file, if there are any."""
    arrays = {
        f"{part}/{name}": array for part, weights in header.weights.items() for name, array in weights.items()
    }
    if not arrays:
        return
    from safetensors.numpy import save

    keys = ("kind", "nonlinearity", "output_distribution", "action_low", "action_high", "tier", "iteration")
    descriptions = [{key: part[key] for key in keys if key in part} for part in header.metadata["parts"]]
    with atomic_file(path) as partial:
        partial.write_bytes(save(arrays, metadata={"parts": json.dumps(descriptions)}))


UPLOADED = ("*.hdf5", "*.safetensors", MANIFEST, SUMS, LICENSE, CITATION)  # to GitHub: no folders
HUB = "cartpole-phys"  # repository of the logged-in user


def publish_plan(folder: Path) -> list[str]:
    """Upload commands for GitHub's ``gh`` and Hugging Face's ``hf``, in order.

    Raises:
        InputError: if the folder contains no release, or the manifest is another file.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise InputError(
            f"Expected a release in '{folder}', but there is no {MANIFEST}; build it without --publish-plan."
        )
    version = read_manifest_value(manifest, "version")
    files = [str(path) for pattern in UPLOADED for path in sorted(folder.glob(pattern))]
    tag, title = f"data-{version}", f"Data sets {version}"
    return [
        shlex.join(["gh", "release", "create", tag, "--title", title, "--notes", f"See {SUMS}.", *files]),
        shlex.join(["hf", "repos", "create", HUB, "--repo-type", "dataset", "--exist-ok"]),
        shlex.join(
            ["hf", "upload", HUB, str(folder), ".", "--repo-type", "dataset", "--commit-message", title]
        ),
        shlex.join(["hf", "repos", "tag", "create", HUB, version, "--repo-type", "dataset"]),
    ]
