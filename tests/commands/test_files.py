"""Atomic writes of files and folders."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cartpole_phys.utils.files import atomic_file, atomic_folder


def test_file_is_renamed_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file.bin"
    with atomic_file(path) as partial:
        assert partial == path.with_name("file.bin.partial")
        partial.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert not partial.exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_errors_keep_the_existing_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_file(path) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_partial_file_of_a_killed_process_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    program = (
        "import os, pathlib, signal, sys; from cartpole_phys.utils.files import atomic_file\n"
        "with atomic_file(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.write_bytes(b'much that is left over')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(os.listdir(tmp_path)) == ["file.bin.lock", "file.bin.partial"]
    with atomic_file(path) as partial:
        assert partial.read_bytes() == b""
        partial.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_old_folder_is_kept_until_the_new_one_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    rename = os.rename

    def write(text: str) -> None:
        with atomic_folder(path) as partial:
            partial.mkdir()
            (partial / "file").write_text(text)

    def interrupted(source: Path, target: Path) -> None:
        if source.suffix == ".partial":
            raise KeyboardInterrupt
        rename(source, target)

    write("old")
    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write("new")
    assert os.listdir(tmp_path) == ["folder"]
    assert (path / "file").read_text() == "old"
    monkeypatch.undo()
    write("new")
    assert os.listdir(tmp_path) == ["folder"]
    assert (path / "file").read_text() == "new"


WRITE_UNTIL_SIGNALED = """
import pathlib, sys
from cartpole_phys.utils import files
with getattr(files, sys.argv[1])(pathlib.Path(sys.argv[2])) as partial:
    partial.mkdir() if sys.argv[1] == "atomic_folder" else partial.write_bytes(b"theirs")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("writer", [atomic_file, atomic_folder])
def test_concurrent_writers_of_one_file_are_rejected(tmp_path: Path, writer: Callable[[Path], Any]) -> None:
    path, begun = tmp_path / "name", []
    other = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_SIGNALED, writer.__name__, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "writing\n"
    with pytest.raises(BlockingIOError, match="another process"), writer(path):
        begun.append(path)
    assert sorted(os.listdir(tmp_path)) == ["name.lock", "name.partial"]
    other.communicate()
    assert (other.returncode, begun) == (0, [])
    assert os.listdir(tmp_path) == ["name"]


def test_unwritable_folder_is_rejected_before_the_work() -> None:
    with pytest.raises(OSError, match="nowhere"), atomic_file(Path("/proc/nowhere/file.bin")):
        pytest.fail("the work was begun")


def test_folder_in_place_of_a_file_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path(), tmp_path):
        with pytest.raises(IsADirectoryError), atomic_file(path):
            pass
    assert list(tmp_path.iterdir()) == []
