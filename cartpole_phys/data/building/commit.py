"""Which commit of this package is at work, where it runs from a clone."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

CLONE = Path(str(resources.files("cartpole_phys"))).parent


def git_commit(clone: Path = CLONE) -> str:
    """The commit of a clone, with "-dirty" where its files were changed since; "" if it is none."""
    return _git(clone, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def commit_date(clone: Path = CLONE) -> str:
    """The day of that commit, as 2026-11-21; "" if it is no clone."""
    return _git(clone, "show", "--no-patch", "--format=%cs", "HEAD")


def _git(clone: Path, *arguments: str) -> str:
    """What git says; nothing where the folder is not itself a clone, but lies in someone else's."""
    if not (clone / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(clone), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
