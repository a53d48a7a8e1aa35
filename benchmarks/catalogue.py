"""Add a built release to the repository: ``make catalogue RELEASE=DIR``.

The data are not added. Added are the registry, against which ``fetch`` verifies downloads, and a folder
``datasets/<version>/`` with manifest, hashes, cards, license, citation, errata and ``reproduce.sh``.
An existing version is never changed.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cartpole_phys import commands
from cartpole_phys.data.release.identity import REGISTRY, arrays_sha256
from cartpole_phys.data.release.release import CARDS, CITATION, LICENSE, MANIFEST, SUMS
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file, atomic_folder

DATASETS = Path(__file__).parent.parent / "datasets"
ERRATA, REPRODUCE = "ERRATA.md", "reproduce.sh"
NO_ERRATA = """# Errata of release {version}

None are known. A released file is never changed: what turns out to be wrong is described here, with the sets
and rows that it touches, and mended in the next version.
"""
REPRODUCE_SCRIPT = """#!/usr/bin/env bash
# Builds release {version} again, at the commit that made it, and compares it with SHA256SUMS.
# usage: datasets/{version}/reproduce.sh NEW_FOLDER [PATTERN]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "${{1:?name a new folder to build in}}")
git clone --quiet "$here/../.." "$folder"
cd "$folder"
git checkout --quiet {commit}
make .venv/.installed
.venv/bin/cartpole-phys release release --only "${{2:-*}}"
cd release
if [ -z "${{2:-}}" ]; then
    sha256sum --check "$here/SHA256SUMS"
else # what describes the whole release differs where only a part of it was built
    grep -E '\\.(hdf5|parquet|safetensors)$' "$here/SHA256SUMS" | sha256sum --ignore-missing --check -
fi
"""


def take_in(release: Path, datasets: Path = DATASETS, registry: Path = REGISTRY) -> Path:
    """Copy the files of a release that belong in the repository.

    Raises:
        InputError: if the folder holds no release of one clean commit, or the version exists.
    """
    manifest = _manifest(release)
    version, commit = manifest["version"], _commit(manifest["files"])
    place = datasets / version
    if place.exists():
        raise InputError(f"Release {version} is in '{place}' already, and versions are not changed.")
    with atomic_folder(place) as partial:
        shutil.copytree(release / CARDS, partial / CARDS)
        for name in (MANIFEST, SUMS, LICENSE, CITATION):
            shutil.copyfile(release / name, partial / name)
        (partial / ERRATA).write_text(NO_ERRATA.format(version=version), "utf-8")
        script = partial / REPRODUCE
        script.write_text(REPRODUCE_SCRIPT.format(version=version, commit=commit), "utf-8")
        script.chmod(0o755)
    known = json.loads(registry.read_text("utf-8"))
    files = {
        name: {
            **{key: file[key] for key in ("bytes", "sha256", "versions")},
            "arrays_sha256": arrays_sha256(file["arrays"]),
        }
        for name, file in manifest["files"].items()
    }
    with atomic_file(registry) as partial:
        text = json.dumps({"version": version, "mirrors": known["mirrors"], "files": files}, indent=2)
        partial.write_text(text + "\n", "utf-8")
    return place


def _manifest(release: Path) -> dict[str, Any]:
    if not (release / MANIFEST).is_file():
        raise InputError(f"Expected a release in '{release}', got none; build it with: cartpole-phys release")
    return dict(json.loads((release / MANIFEST).read_text("utf-8")))


def _commit(files: Mapping[str, Any]) -> str:
    """The commit at which all files were built."""
    commits = {file["git_commit"] for file in files.values()}
    (commit, *others) = commits
    if others or not commit or commit.endswith("-dirty"):
        raise InputError(f"Expected files that one clean commit made, got {', '.join(sorted(commits))!r}.")
    return str(commit)


def table() -> str:
    """The catalog: every released data set with its card, size, score and command."""
    newest = max(DATASETS.glob(f"v*/{MANIFEST}"), key=lambda path: int(path.parent.name[1:]))
    manifest = json.loads(newest.read_text("utf-8"))
    version = manifest["version"]
    lines = [
        f"Release {version}, {manifest['date']}. "
        "A score of 0 is a uniformly random policy and 100 the best known policy.",
        "",
        "| data set | transitions | episodes | score of each policy | MB | command |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, file in manifest["files"].items():
        scores = ", ".join(f"{measured['score']:.1f}" for measured in file["scores"])
        lines.append(
            f"| [{name}]({version}/{CARDS}/{name}.md) | {file['transitions']:,} | {file['episodes']:,} | "
            f"{scores} | {file['bytes'] / 1e6:.1f} | `{file['command']}` |"
        )
    return "\n".join(lines)


def main() -> None:
    """Add the release in the given folder."""
    print(take_in(Path(*sys.argv[1:2])))


if __name__ == "__main__":
    commands.run(main)
