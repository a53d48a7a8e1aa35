"""Whether a build holds the rows of the released data set whose name it carries.

Trained agents depend on the CPU and on versions, so the released recipe can give other rows elsewhere. The
registry holds a hash of each released set's arrays, and the versions that they were made with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cartpole_phys.data.provenance import differing, spelled_out, stated_versions

REGISTRY = Path(__file__).parent / "registry.json"
RELEASE = "release"  # the attribute of a file with a released name


class ReleaseWarning(UserWarning):
    """Warning that a build of a released recipe differs from the released rows."""


def arrays_sha256(hashes: Mapping[str, str]) -> str:
    """One hash for the arrays of a data set, from the hash of each."""
    return hashlib.sha256(json.dumps(dict(sorted(hashes.items()))).encode()).hexdigest()


def compared(name: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    """The attribute that compares a build with the released data set of its name; none for other names.

    Args:
        name: of the data set.
        hashes: of each array of the build.
    """
    version, files = _registry()
    if name not in files:
        return {}
    released, own = files[name]["arrays_sha256"], arrays_sha256(hashes)
    return {RELEASE: {"version": version, "arrays_sha256": released, "equal": released == own}}


def difference(metadata: Mapping[str, Any]) -> str | None:
    """How a file's rows differ from those released under its name; None where they are equal."""
    stated = metadata.get(RELEASE)
    if stated is None or stated["equal"]:
        return None
    name = str(metadata["dataset_name"])
    others = differing(_registry()[1][name]["versions"], stated_versions(metadata))
    reasons = spelled_out(others) or "no recorded version differs"
    return (
        f"The rows of {name} built here are not those of release {stated['version']} (sha256 of the array "
        f"hashes {arrays_sha256(metadata['sha256'])} here, {stated['arrays_sha256']} released); results on "
        f"them are not comparable. Versions: {reasons}."
    )


@cache
def _registry() -> tuple[str, Mapping[str, Any]]:
    """The version of the release, and its files by name."""
    stated = json.loads(REGISTRY.read_text("utf-8"))
    return str(stated["version"]), stated["files"]
