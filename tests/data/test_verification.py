"""Verification is read-only; cache keys and files record everything that determines an agent."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import torch

from cartpole_phys import build_dataset, check, evaluate, load_dataset, make_env_and_dataset
from cartpole_phys.data.building.rebuild import rebuild
from cartpole_phys.data.building.trained_agent import _training_recipe
from cartpole_phys.data.exports.export import export
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.provenance import recorded_versions, version_differences
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.report.show import show
from cartpole_phys.data.tiers.single import MEDIUM
from cartpole_phys.utils.progress import Silent

BUILD: dict[str, Any] = {"policy": "ppo", "tier": "medium-replay", "steps": 600}  # a second of training
VERIFICATIONS: dict[str, Callable[[Path, Path], object]] = {
    "check": lambda file, out: check(file),
    "check --independent": lambda file, out: check(file, independent=True),
    "rebuild": lambda file, out: rebuild(file, 1, Silent()),
    "show": lambda file, out: show(file, Silent()).renderable(),
    "load": lambda file, out: load_dataset(file),
    "split": lambda file, out: make_env_and_dataset(file)[0].close(),
    "evaluate": lambda file, out: evaluate(file, "PhysCartPole-v0", episodes=2),
    "export": lambda file, out: export(file, "parquet", out),
}
# Each makes PyTorch use another instruction set than its default.
OTHER_CPUS = {"ATen": ("ATEN_CPU_CAPABILITY", "default"), "MKL": ("MKL_CBWR", "COMPATIBLE")}


def key() -> str:
    """Cache key of an agent trained on this machine."""
    return _training_recipe(Recipe(policy="ppo"), MEDIUM).sha256


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A data set of the replay tier, and the cache folder with its agent."""
    cache = tmp_path_factory.mktemp("cache")
    own = cache / "cartpole-phys"
    own.mkdir()
    kernels = Path(platformdirs.user_cache_dir("cartpole-phys")) / "kernels"
    (own / "kernels").symlink_to(kernels)  # otherwise each process compiles them
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield build_dataset(**BUILD, out=tmp_path_factory.mktemp("sets")), own / "agents"


def _python(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def _files(*folders: Path) -> dict[Path, tuple[int, bytes]]:
    """Modification time and contents of each file."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.mark.parametrize("name", VERIFICATIONS)
def test_verification_writes_nothing(
    replay: tuple[Path, Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, agents = replay
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = _files(file.parent, agents, here)
    assert len(before) == 2
    VERIFICATIONS[name](file, tmp_path / "out")
    assert _files(file.parent, agents, here) == before


@pytest.mark.parametrize("cpu", OTHER_CPUS)
def test_the_key_of_an_agent_holds_the_arithmetic_of_the_cpu(cpu: str) -> None:
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT" or not torch.backends.mkl.is_available():
        pytest.skip("needs a CPU that can be told to compute as another one")
    name, value = OTHER_CPUS[cpu]
    program = "from tests.data.test_verification import key; print(key())"
    other = _python("-c", program, **{name: value, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert len(other.stdout.strip()) == len(key())
    assert other.stdout.strip() != key()


def test_rebuilding_on_another_cpu_reports_it_and_keeps_the_agent(replay: tuple[Path, Path]) -> None:
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("needs a CPU that can be told to compute as another one")
    file, agents = replay
    before = _files(file.parent, agents)
    program = "from cartpole_phys.cli import main; main()"
    told = _python("-c", program, "rebuild", str(file), "--quiet", ATEN_CPU_CAPABILITY="default")
    assert told.returncode == 1, told.stderr
    assert "cpu-capability" in told.stdout
    assert "DEFAULT)" in told.stdout
    recorded = read_header(file).metadata["versions"]
    assert {"cpu-capability", "arithmetic", "torch", "stable-baselines3", "numpy"} <= set(recorded)
    assert _files(file.parent, agents) == before


def test_training_versions_are_read_from_older_files() -> None:
    training = {"versions": {"torch": "2.0", "numpy": "1.9"}}
    stated = recorded_versions({"versions": {"numpy": "2.0"}, "parts": [{"training": training}, {}]})
    assert stated == {"torch": "2.0", "numpy": "2.0"}
    assert version_differences(stated, {"torch": "2.1", "numpy": "2.0", "arithmetic": "a"}) == {
        "torch": ("2.0", "2.1"),
        "arithmetic": ("not recorded", "a"),
    }
    assert recorded_versions({"parts": 5}) == recorded_versions({}) == {}
