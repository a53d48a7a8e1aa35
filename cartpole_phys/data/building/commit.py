"""Git commit of this package, if it runs from a clone."""

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
    """The output of a git command; empty if the folder is not the root of a clone."""
    if not (clone / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(clone), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
