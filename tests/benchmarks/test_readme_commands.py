"""Every command of README.md: shortened in the default suite, as written from a stock virtual environment.

Both tests read the commands out of README.md, so that a new one is run without being listed anywhere.
"""

import ensurepip
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from cartpole_phys import cli
from cartpole_phys.data.building.build import Options
from cartpole_phys.data.building.write import Built
from cartpole_phys.data.recipe import Recipe
from tests.commands.test_wheel import NOT_SOURCES
from tests.support.commands import Command
from tests.support.readme import BIBTEX, PYTHON, ROOT, SHELL, blocks, commands, inline_code

CLONE = "/path/to/your/clone"  # README's placeholder for the repository's path
FILE = "physcartpole-sac-medium-v0.hdf5"  # input of the commands for data sets and models
FEW = 2_000  # transitions of a shortened build
SCRIPTS = {one.name: one.value for one in entry_points(group="console_scripts", module="cartpole_phys.cli")}
# Options added by the default suite, by the beginning of the command; in full they are slow or never end.
SHORTENED: Mapping[str, tuple[str, ...]] = {
    "build-dataset --policy sac --tier medium": ("--steps", str(FEW)),
    "build-dataset --policy heuristic": ("--steps", str(FEW)),
    "cartpole-phys play": ("--episodes", "1", "--env-kwargs", '{"params": {"time_step": 0.001}}'),
    "python -m dt.train": ("--steps", "5"),
    "python -m dt.evaluate": ("--episodes", "2"),
}
# Agents that train for minutes: the default suite only creates their recipes.
RECIPE_ONLY = ("build-dataset --policy ppo", "build-dataset --policy sac --tier expert")
ENDLESS = ("cartpole-phys play",)
COMMANDS = commands()


def _begins(command: str, beginnings: tuple[str, ...] | Mapping[str, object]) -> bool:
    return any(command.startswith(beginning) for beginning in beginnings)


def test_blocks_are_commands_examples_or_the_citation() -> None:
    assert {block.language for block in blocks()} == {SHELL, PYTHON, BIBTEX}


@pytest.mark.parametrize("beginning", [*SHORTENED, *RECIPE_ONLY])
def test_exceptions_match_existing_commands(beginning: str) -> None:
    assert any(command.startswith(beginning) for command in COMMANDS)


def test_inline_commands_exist() -> None:
    targets = [words.removeprefix("make ").split()[0] for words in inline_code() if words.startswith("make ")]
    modules = [found for words in inline_code() for found in re.findall(r"^python -m (\S+)", words)]
    assert targets
    assert modules
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, check=True)
    assert all(importlib.util.find_spec(module) is not None for module in modules)


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in order, each with the files of the commands before it."""
    built: list[tuple[Recipe, Options]] = []
    monkeypatch.setattr(cli, "build_recipe", lambda recipe, options, _: _record(built, recipe, options))
    for command in COMMANDS:
        words = shlex.split(command)
        if words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, check=True)
        elif _begins(command, RECIPE_ONLY):
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit, match=r"^0$"):
                cli.build_dataset_main()
        elif words[0] != "pip":
            _run_shortened(command, tmp_path)
            for path in tmp_path.glob(f"*-steps{FEW}-*.hdf5"):
                path.rename(tmp_path / path.name.replace(f"-steps{FEW}", ""))
    assert len(built) == len(RECIPE_ONLY)


def _record(built: list[tuple[Recipe, Options]], recipe: Recipe, options: Options) -> Built:
    built.append((recipe, options))
    return Built(options.out / recipe.name, 0, 0, None, None, "")


def _run_shortened(command: str, folder: Path) -> None:
    program, *arguments = shlex.split(command)
    if program == "python":
        assert arguments.pop(0) == "-m"
        program = arguments.pop(0)
    added = [
        word for beginning, words in SHORTENED.items() if command.startswith(beginning) for word in words
    ]
    environment = {"SDL_VIDEODRIVER": "dummy", "MINARI_DATASETS_PATH": str(folder / "minari")}
    entry_point = SCRIPTS.get(program, program)
    ended = Command(entry_point, *arguments, *added, folder=folder, environment=environment).finish()
    assert ended[0] == 0, f"{command}: {ended[2]}"


def test_pip_of_a_stock_environment_accepts_the_installation_commands(tmp_path: Path) -> None:
    """The pip that ``python3 -m venv`` installs, 23.2 with Python 3.11, on a copy of the repository."""
    clone, bundled = tmp_path / "clone", Path(ensurepip.__file__).parent / "_bundled"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    (pip,) = bundled.glob("pip-*.whl")
    lines = [shlex.split(command.replace(CLONE, str(clone))) for command in COMMANDS if "pip " in command]
    assert lines
    for program, install, *words in lines:
        assert (program, install) == ("pip", "install")
        only_read = ["--dry-run", "--no-deps", "--no-index", "--no-build-isolation"]
        result = subprocess.run(
            [sys.executable, "-m", "pip", "install", *only_read, *words],
            env={**os.environ, "PYTHONPATH": str(pip)},
            cwd=clone,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "Would install cartpole-phys" in result.stdout


@pytest.mark.slow
@pytest.mark.clients
def test_all_commands_run_as_written_from_a_stock_environment(tmp_path: Path) -> None:
    """A new ``python3 -m venv`` with its own pip, and a clone; ``make test`` alone is not run: it is this.

    ``make demo`` finds its environment installed: the one of these tests.
    """
    clone, stock = tmp_path / "clone", tmp_path / "stock"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(["python3", "-m", "venv", str(stock)], check=True)
    (clone / ".venv").symlink_to(ROOT / ".venv")
    for requirements in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        os.utime(clone / requirements, (0, 0))  # older than what is installed
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PATH": f"{stock / 'bin'}:{os.environ['PATH']}",
        "PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "MINARI_DATASETS_PATH": str(tmp_path / "minari"),
        "SDL_VIDEODRIVER": "dummy",
    }
    for block in (one for one in blocks() if one.language != BIBTEX):
        lines = [block.text] if block.language == PYTHON else block.text.splitlines()
        for line in lines:
            words = ["python", "-c", line] if block.language == PYTHON else ["bash", "-ec", _ending(line)]
            result = subprocess.run(
                words, cwd=clone, env=environment, capture_output=True, text=True, check=False
            )
            assert result.returncode == 0, f"{line}: {result.stdout[-2_000:]}{result.stderr[-2_000:]}"


def _ending(line: str) -> str:
    """The line in a form that terminates, with the path of the clone."""
    command = line.partition("  #")[0].replace(CLONE, ".")
    if command.strip() == "make test":
        return "make --dry-run test"
    return f"{command} --episodes 1" if _begins(command, ENDLESS) else command
