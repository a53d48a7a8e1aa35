"""The commands that upload a release; running them is left to whoever may."""

from __future__ import annotations

import shlex
from pathlib import Path

from cartpole_phys.data.release.release import CITATION, LICENCE, MANIFEST, SUMS, stated_in
from cartpole_phys.errors import InputError

UPLOADED = ("*.hdf5", "*.safetensors", MANIFEST, SUMS, LICENCE, CITATION)  # to GitHub, which knows no folders
HUB = "cartpole-phys"  # of whoever is logged in


def publish_plan(folder: Path) -> list[str]:
    """Commands for GitHub's ``gh`` and Hugging Face's ``hf``, in their order.

    Raises:
        InputError: if the folder holds no release, or another manifest than a release's.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise InputError(
            f"Expected a release in '{folder}', but there is no {MANIFEST}; build it without the flag."
        )
    version = stated_in(manifest, "version")
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
