"""Rebuilding from a recipe: the same arrays, from a file alone, with any number of jobs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest

from cartpole_phys import build_dataset
from cartpole_phys.data.building.rebuild import rebuild
from cartpole_phys.data.checks.run import FAILED, check
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.recipe import Recipe, released_recipes
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.progress import Silent

OWN = "policies_of_tests:balancing"
OWN_MODULE = """
import numpy as np

def balancing(system):
    return lambda observations: np.clip(1.15 * observations[:, 2:3], -1.0, 1.0)
"""
VARIED = {
    "push_rate": 5.0,
    "observation_noise": 0.01,
    "randomize": {"pole_mass": [0.05, 0.2]},
    "integrator": "rk4",
}
# More than one batch of episodes each, so that jobs have something to share.
BUILDS: dict[str, dict[str, Any]] = {
    "random": {"policy": "random", "steps": 30_000},
    "heuristic, mixed": {"policy": "heuristic", "tier": "mixed", "steps": 60_001},
    "varied": {"policy": "random", "env_kwargs": VARIED, "steps": 30_000},
    "network": {"policy": "ppo", "env_id": "PhysCartPoleDiscrete-v0", "steps": 200_000},
    "another's environment": {
        "policy": "random",
        "env_id": "Pendulum-v1",
        "steps": 10_000,
        "score_episodes": 100,
    },
    "own policy": {"policy": OWN, "steps": 200_000},
}
UNTRAINED = [name for name, recipe in released_recipes().items() if not recipe.kind.is_trained]


@pytest.fixture(autouse=True)
def own_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with a policy, importable here and in child processes."""
    (tmp_path / "policies_of_tests.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "policies_of_tests", raising=False)


def _hashes(path: Path) -> Any:
    return read_header(path).metadata["sha256"]


@pytest.mark.parametrize("name", BUILDS)
def test_any_number_of_jobs_gives_the_same_hashes_and_so_does_the_file_alone(
    name: str, tmp_path: Path
) -> None:
    alone = build_dataset(**BUILDS[name], jobs=1, out=tmp_path / "1")
    together = build_dataset(**BUILDS[name], jobs=2, out=tmp_path / "2")
    assert _hashes(alone) == _hashes(together)
    own = OWN if name == "own policy" else None
    again = rebuild(together, 1, Silent(), own)
    assert again.different == []
    assert set(again.equal) == set(_hashes(alone))
    assert again.other_versions == {}


def _try(recipe: Recipe, folder: Path) -> None:
    """Build a smaller version of a recipe, check the file in both modes, and rebuild it."""
    steps = TIERS[recipe.tier].default_steps and 3_000
    path = build_dataset(recipe.env_id, recipe.policy, recipe.tier, steps, out=folder)
    assert not [result for result in check(path, independent=True) if result.status == FAILED]
    assert rebuild(path, 1, Silent()).different == []


@pytest.mark.parametrize("name", UNTRAINED)
def test_released_recipes(name: str, tmp_path: Path) -> None:
    _try(released_recipes()[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(released_recipes()) - set(UNTRAINED)))
def test_released_recipes_of_trained_agents(name: str, tmp_path: Path) -> None:
    _try(released_recipes()[name], tmp_path)


def test_recorded_training_is_trained_again(tmp_path: Path) -> None:
    path = build_dataset("PhysCartPoleDiscrete-v0", "ppo", "medium-replay", steps=2_000, out=tmp_path)
    assert rebuild(path, 1, Silent()).different == []


def test_folder_of_shards(tmp_path: Path) -> None:
    folder = build_dataset(policy="heuristic", tier="mixed", steps=3_000, shard_steps=800, out=tmp_path)
    assert rebuild(folder, 1, Silent()).different == []


def test_folder_of_shards_of_an_own_policy(tmp_path: Path) -> None:
    folder = build_dataset(policy=OWN, steps=2_000, shard_steps=800, jobs=1, out=tmp_path)
    assert rebuild(folder, 1, Silent(), OWN).different == []


def _restate(path: Path, name: str, **changes: Any) -> None:
    """Edit the metadata of a file."""
    with h5py.File(path, "r+") as file:
        file.attrs[name] = json.dumps({**json.loads(file.attrs[name]), **changes})


def test_differing_arrays_are_named(tmp_path: Path) -> None:
    path = build_dataset(policy="random", steps=500, out=tmp_path)
    _restate(path, "sha256", actions="0" * 64)
    _restate(path, "versions", numpy="0.1")
    again = rebuild(path, 1, Silent())
    assert again.different == ["actions"]
    assert again.other_versions["numpy"][0] == "0.1"
    command = [sys.executable, "-c", "from cartpole_phys.cli import main; main()", "rebuild", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 1
    assert "✗ actions" in told.stdout
    assert "✓ rewards" in told.stdout
    assert "numpy 0.1 (now" in told.stdout


def test_another_seed_gives_different_arrays(tmp_path: Path) -> None:
    path = build_dataset(policy="random", steps=500, out=tmp_path)
    _restate(path, "recipe", seed=1)
    assert "observations" in rebuild(path, 1, Silent()).different


@pytest.mark.parametrize("shard", ["x", {}, {"number_in_part": "abc"}, {"number_in_part": -1}])
def test_a_shard_without_its_number_is_rejected(tmp_path: Path, shard: Any) -> None:
    path = build_dataset(policy="random", steps=500, out=tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["shard"] = json.dumps(shard) if isinstance(shard, dict) else shard
    with pytest.raises(InputError, match="number_in_part as an integer of at least 0"):
        rebuild(path, 1, Silent())


def test_untrusted_code_is_not_run_by_default(tmp_path: Path) -> None:
    path = build_dataset(policy=OWN, steps=500, out=tmp_path)
    for given in (None, "other:policy"):
        with pytest.raises(InputError, match=f"permit running it with --policy {OWN}"):
            rebuild(path, 1, Silent(), given)


def test_changed_code_is_detected(tmp_path: Path) -> None:
    path = build_dataset(policy=OWN, steps=500, out=tmp_path)
    module = tmp_path / "policies_of_tests.py"
    module.write_text(OWN_MODULE.replace("1.15", "1.2"))
    del sys.modules["policies_of_tests"]
    assert "actions" in rebuild(path, 1, Silent(), OWN).different


def test_files_without_a_recipe_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "foreign.hdf5"
    with h5py.File(path, "w") as file:
        file["rewards"] = [1.0]
    with pytest.raises(InputError, match="with a recipe and hashes, got"):
        rebuild(path, 1, Silent())
