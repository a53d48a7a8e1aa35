"""Git commit of this package, if it runs from a git clone."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

CLONE = Path(str(resources.files("cartpole_phys"))).parent


def git_commit(clone: Path = CLONE) -> str:
    """Hash of the checked-out commit, with "-dirty" if files are changed; "" outside a git clone."""
    return _git(clone, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def commit_date(clone: Path = CLONE) -> str:
    """Date of the checked-out commit, such as 2026-11-21; "" outside a git clone."""
    return _git(clone, "show", "--no-patch", "--format=%cs", "HEAD")


def _git(clone: Path, *arguments: str) -> str:
    """Output of a git command; empty if the folder is not the root of a git clone."""
    if not (clone / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(clone), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
