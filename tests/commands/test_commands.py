"""Behavior of all commands: path expansion, signals, and escaping of terminal output."""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cartpole_phys import cli, commands, make_env_and_dataset
from cartpole_phys.data.hdf5.file import Contents, read, write
from cartpole_phys.utils.errors import InputError

ROOT = Path(__file__).parents[2]
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
PROGRAM = """
import os, pathlib, signal, sys, time
from cartpole_phys import commands
from cartpole_phys.utils.files import atomic_file

def work():
    with atomic_file(pathlib.Path("file.bin")) as partial:
        partial.write_bytes(b"half")
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        time.sleep(1)

commands.run(work)
"""


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restore the signal handlers of this process."""
    names = (*SIGNALS, "SIGALRM")
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    hook = sys.unraisablehook
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)
    sys.unraisablehook = hook


def test_tilde_is_expanded_after_an_equals_sign(
    handlers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, expanded_arguments = str(tmp_path), list[str]()
    monkeypatch.setenv("HOME", home)
    given = [
        "--out=~/x",
        "--html=~",
        "--env-kwargs={}",
        "--name=a~/b",
        "~/y",
        "--policy=~nobody/x",
        "--a",
        "~x",
    ]
    monkeypatch.setattr(sys, "argv", ["command", *given])
    commands.run(lambda: expanded_arguments.extend(sys.argv[1:]))
    expanded = [f"--out={home}/x", f"--html={home}", "--env-kwargs={}", "--name=a~/b", f"{home}/y"]
    assert expanded_arguments == [*expanded, "--policy=~nobody/x", "--a", "~x"]


def test_all_commands_expand_home_paths() -> None:
    for path in [*(ROOT / "dt").rglob("*.py"), ROOT / "cartpole_phys" / "cli.py"]:
        text = path.read_text("utf-8")
        assert ("typer.Typer(" in text) == ("commands.run(" in text), path


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_leave_no_files(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, name]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (130, False), ended
    assert os.listdir(tmp_path) == []


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    """Under ``nohup``, closing the terminal must not stop the command."""
    command = ["nohup", sys.executable, "-c", PROGRAM, "SIGHUP"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended
    assert (tmp_path / "file.bin").read_bytes() == b"half"


def test_text_from_files_is_escaped_for_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "\x1b]0;owned\x07\x9b31m\nsecond line"
    rebuilt: Any = SimpleNamespace(equal=[odd], different=[odd], other_versions={odd: (odd, odd)})
    monkeypatch.setattr(cli, "rebuild", lambda *_: rebuilt)
    with pytest.raises(SystemExit):
        cli.rebuild_file(Path("set.hdf5"), quiet=True)
    monkeypatch.setattr(cli, "export", lambda *_: SimpleNamespace(name=odd, transitions=1, episodes=1))
    cli.export_file(Path("set.hdf5"), "pickle")
    printed = capsys.readouterr().out
    assert printed
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert "\nsecond" not in printed


def test_commands_print_only_through_the_escaping_function() -> None:
    found = []
    for path in [*(ROOT / "dt").rglob("*.py"), ROOT / "cartpole_phys" / "cli.py"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                is_json = ast.unparse(node.args[0]).startswith(
                    "json.dumps("
                )  # which escapes control characters
                found += [] if is_json else [f"{path.name}: {ast.unparse(node)}"]
    assert found == []


@pytest.mark.parametrize(
    ("env_id", "env_kwargs"),
    [
        ("Nowhere-v0", {}),
        ("PhysCartPole-v1", {}),
        ("CartPole-v1", {"nothing": 1}),
        ("Pendulum-v1", {"max_episode_steps": "many"}),
    ],
)
def test_failing_environment_is_a_one_line_error(
    env_id: str, env_kwargs: dict[str, Any], medium_file: Path, tmp_path: Path
) -> None:
    contents = read(medium_file)
    metadata = {**contents.metadata, "env_id": env_id, "env_kwargs": env_kwargs}
    path = tmp_path / "set.hdf5"
    write(path, Contents(contents.arrays, metadata, {}))
    with pytest.raises(InputError, match="nvironment"):
        make_env_and_dataset(path)
