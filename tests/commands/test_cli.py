"""The command line, run in subprocesses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = {
    "cartpole-phys": "from cartpole_phys.cli import main; main()",
    "build-dataset": "from cartpole_phys.cli import build_dataset_main; build_dataset_main()",
}


def _run(program: str, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAMS[program], *map(str, words)]
    return subprocess.run(
        command,
        capture_output=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=120,
        env={**os.environ, **environment},
    )


def test_build_and_check(tmp_path: Path) -> None:
    built = _run("build-dataset", "--policy", "random", "--steps", "500", "--out", tmp_path, "--json")
    assert built.returncode == 0, built.stderr
    result = json.loads(built.stdout)
    assert result["transitions"] == 500
    assert Path(result["path"]).exists()
    checked = _run("cartpole-phys", "check", result["path"])
    assert checked.returncode == 0
    assert checked.stdout.count("✓") == 10
    assert [line.split()[1] for line in checked.stdout.splitlines() if line[0] != "✓"] == [
        "parts",
        "stitching",
    ]
    results = json.loads(_run("cartpole-phys", "check", result["path"], "--json").stdout)
    assert {result["status"] for result in results} == {"passed", "not applicable"}


def test_terminals_without_unicode_get_ascii(medium_file: Path) -> None:
    checked = _run("cartpole-phys", "check", medium_file, PYTHONIOENCODING="cp1252")
    assert (checked.returncode, checked.stderr.count("Traceback")) == (0, 0)
    assert checked.stdout.startswith("? ")


def test_summary_describes_the_built_file(tmp_path: Path) -> None:
    built = _run(
        "cartpole-phys",
        "build",
        "--policy",
        "heuristic",
        "--tier",
        "expert",
        "--steps",
        "1000",
        "--out",
        tmp_path,
    )
    assert "1,000 transitions" in built.stdout
    assert "normalized score" in built.stdout
    assert "sha256" in built.stdout
    stages = [built.stderr.find(stage) for stage in ("collecting", "scoring", "checking")]
    assert -1 < stages[0] < stages[1] < stages[2]
    quiet = _run("build-dataset", "--policy", "random", "--steps", "100", "--out", tmp_path, "--quiet")
    assert quiet.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--policy", "heuristc"],
        ["--tier", "epxert"],
        ["--env", "Nope-v0"],
        ["--env-kwargs", '{"integrator": "rk9"}'],
        ["--env-kwargs", "{integrator: rk9}"],
        ["--env-kwargs", "[1]"],
        ["--env-kwargs", '{"a":' * 900 + "1" + "}" * 900],
        ["--env-kwargs", "[" * 5_000],
        ["--policy", "random", "--out", "/proc/nowhere"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str]) -> None:
    result = _run("build-dataset", *words)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_usage_errors_exit_with_2_and_no_traceback() -> None:
    for words in (["--steps", "many"], ["--nothing"], ["stray"]):
        result = _run("build-dataset", *words)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr


IN_A_CALLBACK = """
import signal, time, weakref
from cartpole_phys import commands

class Freed:
    pass

def app():
    freed = Freed()
    kept = weakref.ref(freed, lambda _: signal.raise_signal(signal.SIGINT))
    del freed
    time.sleep(20)

commands.run(app)
"""


def test_interrupt_swallowed_in_a_callback_is_reraised() -> None:
    command = [sys.executable, "-c", IN_A_CALLBACK]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (130, "Interrupted; partial files were removed.\n")


def test_check_of_bad_files(tmp_path: Path, medium_file: Path) -> None:
    broken = tmp_path / "broken.hdf5"
    broken.write_bytes(medium_file.read_bytes()[:5_000])
    for path in (broken, tmp_path / "nowhere.hdf5", tmp_path):
        result = _run("cartpole-phys", "check", path)
        assert result.returncode == 2
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1


def test_failed_gate_is_exit_code_1(tmp_path: Path, medium_file: Path) -> None:
    from cartpole_phys.data.hdf5.file import Contents, read, write

    contents = read(medium_file)
    rewards = contents.arrays["rewards"].copy()
    rewards[3] = 2.0
    path = tmp_path / "changed.hdf5"
    write(path, Contents({**contents.arrays, "rewards": rewards}, contents.metadata, contents.weights))
    result = _run("cartpole-phys", "check", path)
    assert result.returncode == 1
    assert [line.split()[1] for line in result.stdout.splitlines() if line[0] == "✗"] == [
        "replay",
        "metadata",
    ]
