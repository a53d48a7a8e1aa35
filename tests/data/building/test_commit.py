"""The commit recorded in files."""

import re
import subprocess
from pathlib import Path

from cartpole_phys.data.building.commit import CLONE, commit_date, git_commit

IDENTITY = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_of_a_clone_with_its_changes(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    (tmp_path / "file").write_text("a")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "--message", "First", "--date", "2026-01-02T00:00:00Z")
    _git(tmp_path, "tag", "v1")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", commit_date(tmp_path))
    (tmp_path / "file").write_text("b")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_a_folder_inside_another_clone_has_no_commit(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    (tmp_path / "inside").mkdir()
    assert git_commit(tmp_path / "inside") == commit_date(tmp_path / "inside") == ""


def test_the_clone_folder_is_the_repository_root() -> None:
    assert (CLONE / "cartpole_phys" / "__init__.py").is_file()
    assert (CLONE / "setup.cfg").is_file()
