"""The example scripts run with the libraries they demonstrate."""

import re
import subprocess
from pathlib import Path

import pytest

from cartpole_phys.data.exports.export import export
from cartpole_phys.data.loading import load_file
from tests.support.commands import Command

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
D3RLPY_PYTHON = ROOT / ".venv-d3rlpy" / "bin" / "python"
RUNNABLE = (
    "corl_style_td3_bc.py",
    "minari_to_arrays.py",
    "stable_baselines3_offline.py",
    "torchrl_replay.py",
)
LINES = 40  # one screen


def _execute(name: str, *words: object, **environment: str) -> tuple[int, str, str]:
    """Run an example; return its exit code, stdout and stderr."""
    program = "tests.support.commands:script"
    return Command(program, EXAMPLES / name, *words, environment=environment).finish()


def _run(name: str, *words: object, **environment: str) -> str:
    code, output, errors = _execute(name, *words, **environment)
    assert code == 0, errors
    return output


def test_corl_style(medium_file: Path) -> None:
    score = float(_run("corl_style_td3_bc.py", medium_file, 300).split()[-1])
    assert 0.0 < score <= 100.0


def test_stable_baselines3(medium_file: Path) -> None:
    assert re.search(
        r"return \d+ ± \d+ after 20 updates", _run("stable_baselines3_offline.py", medium_file, 20)
    )


def test_torchrl(medium_file: Path) -> None:
    result = _run("torchrl_replay.py", medium_file)
    assert "4999 transitions" in result  # TorchRL drops the last row
    assert "observation (256, 4) torch.float32" in result


def test_minari(medium_file: Path, tmp_path: Path) -> None:
    identity = export(medium_file, "minari", tmp_path).name
    result = _run("minari_to_arrays.py", identity, MINARI_DATASETS_PATH=str(tmp_path))
    assert "5000 transitions" in result
    assert "return of proportional control 500.0" in result


@pytest.mark.parametrize("name", RUNNABLE)
def test_examples_without_arguments_print_their_usage(name: str) -> None:
    code, output, errors = _execute(name)
    assert (code, output) == (1, "")
    assert f"python {name} " in errors
    assert "Traceback" not in errors


def test_discrete_actions_are_rejected_in_one_line(discrete_file: Path, tmp_path: Path) -> None:
    identity, folder = export(discrete_file, "minari", tmp_path).name, str(tmp_path)
    for code, _, errors in (
        _execute("corl_style_td3_bc.py", discrete_file),
        _execute("stable_baselines3_offline.py", discrete_file),
        _execute("minari_to_arrays.py", identity, MINARI_DATASETS_PATH=folder),
    ):
        assert code == 1
        assert re.search(r"^.* actions.*\.$", errors.strip().splitlines()[-1])
        assert "Traceback" not in errors


@pytest.mark.clients
def test_d3rlpy(medium_file: Path) -> None:
    data = load_file(medium_file)
    # d3rlpy has no transition from the last row of a non-terminated episode.
    transitions = data.steps - (len(data) - int(data.terminations.sum()))
    command = [
        str(D3RLPY_PYTHON),
        "-W",
        "ignore",
        str(EXAMPLES / "d3rlpy_td3_bc.py"),
        str(medium_file),
        "300",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert f"episodes {len(data)}, transitions {transitions}" in result.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES
