"""Download of released data sets from mirrors by name, verified by checksum.

``registry.json`` lists the files of a release with their sizes and hashes, and the mirrors. A download is
written to a partial file, which gets its final name only if the checksum matches.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from cartpole_phys.data.hashing import file_sha256
from cartpole_phys.data.recipe import is_plain, released_recipes
from cartpole_phys.data.release.identity import REGISTRY
from cartpole_phys.utils.choices import choices, nearest
from cartpole_phys.utils.download import LONGEST_WAIT, OTHER_HASH, DownloadError, download
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file, reporting_write_errors, require_writable
from cartpole_phys.utils.progress import Progress, Silent

MIRRORS = "CARTPOLE_PHYS_MIRRORS"  # environment variable: URLs or folders, separated by white space
SIMILARITY = 0.9  # fraction of matching characters from which an unknown name counts as a misspelled one
TRIES = 2  # passes over all mirrors


@dataclass(frozen=True)
class Released:
    """A file of a release: name, size and checksum."""

    name: str  # name of the data set
    size: int  # bytes
    sha256: str

    @property
    def file(self) -> str:
        """Name of the HDF5 file."""
        return f"{self.name}.hdf5"


@dataclass(frozen=True)
class Registry:
    """The files of a release, and the mirrors that host them."""

    version: str
    mirrors: Sequence[str]  # URLs of folders, in order of preference
    files: dict[str, Released]  # by name of the data set


@cache
def registry(path: Path = REGISTRY) -> Registry:
    """Load the registry of released files that is installed with this package."""
    loaded = json.loads(path.read_text("utf-8"))
    files = {name: Released(name, one["bytes"], one["sha256"]) for name, one in loaded["files"].items()}
    return Registry(loaded["version"], tuple(loaded["mirrors"]), files)


def mirrors(known: Registry) -> list[str]:
    """Mirrors in order of preference: from the environment variable if set, otherwise from the registry."""
    return os.environ.get(MIRRORS, "").split() or list(known.mirrors)


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Return the path of a released data set, downloaded from the first working mirror if it is not cached.

    Args:
        name: such as ``"physcartpole-sac-medium-v0"``.
        progress: receives the number of bytes downloaded.

    Raises:
        InputError: if there is no such data set, it is not published, the cache cannot be written, or no
            mirror has it; the message lists the error of each mirror.
    """
    known, stem = registry(), check_plain(name)
    released = known.files.get(stem)
    urls = mirrors(known)
    if released is None or not urls:
        raise InputError(_unpublished(stem))
    path = Path(platformdirs.user_cache_dir("cartpole-phys")) / "datasets" / known.version / released.file
    if path.is_file() and file_sha256(path) == released.sha256:
        return path
    with reporting_write_errors(path):
        require_writable(path.parent)
    errors, retry_at = dict[str, str](), dict[str, float]()  # by mirror: last error, earliest time of a retry
    for mirror in urls * TRIES:
        pause = retry_at.get(mirror, 0.0) - time.monotonic()
        if pause > LONGEST_WAIT:
            continue
        time.sleep(max(pause, 0.0))
        try:
            _get(mirror, released, path, progress or Silent())
            return path
        except DownloadError as error:
            errors[mirror], retry_at[mirror] = str(error), time.monotonic() + error.wait
    reasons = "; ".join(f"{mirror}: {error}" for mirror, error in errors.items())
    raise InputError(
        f"Could not fetch {released.file}: {reasons}. Check the connection, name other mirrors in "
        f"{MIRRORS}, or build it: {_command(stem)}"
    )


def is_name(text: str) -> bool:
    """Whether a text is the name of a released data set or of a recipe reserved for a release."""
    stem = text.removesuffix(".hdf5")
    return stem in released_recipes() or stem in registry().files


def similar_names(text: str) -> list[str]:
    """Released data sets whose names differ from a plain name by a typing error."""
    stem = text.removesuffix(".hdf5")
    return nearest(stem, released_recipes(), similar=SIMILARITY) if is_plain(stem) else []


def check_plain(name: str) -> str:
    """Return the name of a data set without its suffix.

    Raises:
        InputError: if it is a path or anything else but a plain name.
    """
    stem = name.removesuffix(".hdf5")
    if not is_plain(stem):
        raise InputError(
            f"Expected the plain name of a data set, such as physcartpole-sac-medium-v0, got {name!r}."
        )
    return stem


def _unpublished(name: str) -> str:
    if name not in released_recipes():
        return f"There is no released data set {name!r}; {choices(name, released_recipes())}"
    return (
        f"{name} is not published yet; build it: {_command(name)}, or name a mirror that has it in {MIRRORS}."
    )


def _command(name: str) -> str:
    return released_recipes()[name].command if name in released_recipes() else "build-dataset --help"


def _get(mirror: str, released: Released, path: Path, progress: Progress) -> None:
    """Download a file from one mirror to its path atomically.

    Raises:
        DownloadError: if the mirror does not have the file, or its checksum differs.
    """
    progress.stage("fetching")
    if re.match(r"https?://", mirror):
        url = f"{mirror.rstrip('/')}/{released.file}"
        download(url, path, released.size, released.sha256, progress.fetched)
    else:
        _copy(Path(mirror) / released.file, released, path)


def _copy(source: Path, released: Released, path: Path) -> None:
    """Copy a file from a mirror that is a local folder."""
    try:
        if file_sha256(source) != released.sha256:
            raise DownloadError(OTHER_HASH)
        with atomic_file(path) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise DownloadError(error.strerror or str(error)) from error
