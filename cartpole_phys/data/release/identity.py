"""Comparison of a build with the released data set of the same name.

Trained agents depend on the CPU and on versions, so a released recipe can produce different rows on another
machine. The registry records a hash of the arrays of each released data set, and the versions at its build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cartpole_phys.data.provenance import describe_differences, recorded_versions, version_differences

REGISTRY = Path(__file__).parent / "registry.json"
RELEASE = "release"  # root attribute of files with a released name


class ReleaseWarning(UserWarning):
    """Warning that a build of a released recipe differs from the released rows."""


def arrays_sha256(hashes: Mapping[str, str]) -> str:
    """SHA-256 of all arrays of a data set, from the hash of each."""
    return hashlib.sha256(json.dumps(dict(sorted(hashes.items()))).encode()).hexdigest()


def release_attribute(name: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Attribute ``release``, which compares a build with the released data set; empty for other names.

    Args:
        name: of the data set.
        hashes: SHA-256 of each array of the build.
    """
    version, files = _registry()
    if name not in files:
        return {}
    released, built = files[name]["arrays_sha256"], arrays_sha256(hashes)
    return {RELEASE: {"version": version, "arrays_sha256": released, "equal": released == built}}


def release_warning(metadata: Mapping[str, Any]) -> str | None:
    """Warning if the rows of a file differ from those released under its name; else None."""
    release = metadata.get(RELEASE)
    if release is None or release["equal"]:
        return None
    name = str(metadata["dataset_name"])
    differences = version_differences(_registry()[1][name]["versions"], recorded_versions(metadata))
    reasons = describe_differences(differences) or "no recorded version differs"
    return (
        f"The rows of {name} built here differ from those of release {release['version']} (sha256 of "
        f"the array hashes {arrays_sha256(metadata['sha256'])} here, {release['arrays_sha256']} released); "
        f"results on them are not comparable. Versions: {reasons}."
    )


@cache
def _registry() -> tuple[str, Mapping[str, Any]]:
    """Version of the release, and its files by name."""
    registry = json.loads(REGISTRY.read_text("utf-8"))
    return str(registry["version"]), registry["files"]
