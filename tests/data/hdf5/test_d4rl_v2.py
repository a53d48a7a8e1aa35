"""The optional groups of D4RL's version 2 layout."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cartpole_phys import build_dataset, check
from cartpole_phys.data.checks.run import FAILED
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from tests.support.rehashed import failing


@pytest.fixture(scope="module")
def agent_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of a trained agent with the groups."""
    out = tmp_path_factory.mktemp("v2")
    env_id = "PhysCartPoleDiscrete-v0"
    return build_dataset(env_id, "ppo", "medium", steps=2_000, d4rl_v2_metadata=True, out=out)


def test_groups_match_the_attributes(agent_file: Path) -> None:
    header = read_header(agent_file)
    with h5py.File(agent_file) as file:
        assert file["metadata/algorithm"][()] == b"ppo"
        assert file["metadata/iteration"][()] == header.metadata["parts"][0]["iteration"]
        assert file["metadata/policy/nonlinearity"][()] == b"tanh"
        assert file["metadata/policy/output_distribution"][()] == b"categorical"
        for name, array in header.weights["0"].items():
            np.testing.assert_array_equal(file[f"metadata/policy/{name.replace('.', '/')}"], array)


def test_a_file_with_groups_is_read_and_checked(agent_file: Path) -> None:
    assert not [result for result in check(agent_file) if result.status == FAILED]
    assert load_file(agent_file).steps == 2_000
    assert not any(name.startswith("metadata") for name in read_header(agent_file).arrays)


def _replaced(name: str, value: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return edit


def _changed_weight(file: h5py.File) -> None:
    file["metadata/policy/fc0/weight"][0, 0] += 1


def _without_groups(file: h5py.File) -> None:
    del file["metadata"]


def _with_another(file: h5py.File) -> None:
    file["metadata/policy/fc9/weight"] = np.zeros(3, np.float32)


def _packed(file: h5py.File) -> None:
    del file["metadata/policy/fc0/weight"]
    file.create_dataset("metadata/policy/fc0/weight", (10**6, 10**4), "f4", chunks=True, compression="gzip")


@pytest.mark.parametrize(
    "edit",
    [
        _replaced("metadata/algorithm", np.bytes_(b"sac")),
        _replaced("metadata/iteration", np.int32(7)),
        _replaced("metadata/iteration", "a text of any length"),
        _replaced("metadata/policy/nonlinearity", np.bytes_(b"relu")),
        _changed_weight,
        _without_groups,
        _with_another,
        _packed,
    ],
)
def test_groups_that_contradict_the_attributes(
    agent_file: Path, tmp_path: Path, edit: Callable[[h5py.File], None]
) -> None:
    path = Path(shutil.copy(agent_file, tmp_path))
    with h5py.File(path, "r+") as file:
        edit(file)
    assert failing(path) == ["metadata"]


def test_groups_that_the_recipe_does_not_have(random_file: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(random_file, tmp_path))
    with h5py.File(path, "r+") as file:
        file["metadata/algorithm"] = np.bytes_(b"random")
    assert failing(path) == ["metadata"]


def test_sets_of_several_policies_name_the_algorithm_alone(tmp_path: Path) -> None:
    path = build_dataset(policy="heuristic", tier="mixed", steps=30, d4rl_v2_metadata=True, out=tmp_path)
    with h5py.File(path) as file:
        assert list(file["metadata"]) == ["algorithm"]


def test_the_recipe_says_so() -> None:
    recipe = Recipe(policy="random", d4rl_v2_metadata=True)
    assert recipe.name == "physcartpole-random-d4rlv2-v0"
    assert recipe.command.endswith("--d4rl-v2-metadata")
