"""Builds: names, reproducibility, tiers, rejected options, and no partial files."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cartpole_phys
from cartpole_phys import build_dataset
from cartpole_phys.data.building.trained_agent import _training_recipe
from cartpole_phys.data.hdf5.file import read
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe, is_plain, released_recipes
from cartpole_phys.data.tiers.single import MEDIUM
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import writer_lock

ENV = "PhysCartPole-v0"


def _command(*words: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from cartpole_phys.cli import build_dataset_main as m; m()", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, **options)


def test_names_spell_out_every_difference_from_the_release() -> None:
    assert Recipe(ENV, "sac", "medium").name == "physcartpole-sac-medium-v0"
    assert Recipe(ENV, "random", "random").name == "physcartpole-random-v0"
    others = [
        Recipe(ENV, "sac", "medium", seed=1),
        Recipe(ENV, "sac", "medium", steps=10),
        Recipe(ENV, "sac", "medium", deterministic=True),
        Recipe(ENV, "sac", "medium", env_kwargs={"integrator": "euler"}),
        Recipe(ENV, "sac", "medium", env_kwargs={"params": {"pole_mass": 0.2}}),
        Recipe(ENV, "sac", "expert"),
    ]
    names = {recipe.name for recipe in others}
    assert len(names) == len(others)
    assert "physcartpole-sac-medium-v0" not in names
    assert all(recipe.name == name for name, recipe in released_recipes().items())


def test_policies_with_other_arguments_have_other_names() -> None:
    assert Recipe(ENV, "my.own_policies:make").name == "physcartpole-my_own_policies_make-unrated-v0"
    names = {
        Recipe(ENV, f"mine:{call}").name for call in ("make", "Make", "make(1)", "make(-1)", "make(1.0)")
    }
    assert len(names) == 5
    assert all(is_plain(name) for name in names)


def test_a_name_may_have_its_ending(tmp_path: Path) -> None:
    assert build_dataset(policy="random", steps=9, name="mine.hdf5", out=tmp_path) == tmp_path / "mine.hdf5"


def test_seeds_for_different_purposes_differ() -> None:
    recipe = Recipe(ENV, "heuristic", "mixed")
    purposes = ("calibration", "collection", "evaluation")
    assert len({recipe.derived_seed(purpose, part) for purpose in purposes for part in range(3)}) == 9


@pytest.mark.parametrize(
    ("env_id", "policy", "tier"), [(ENV, "random", None), ("PhysCartPoleDiscrete-v0", "heuristic", "weak")]
)
def test_same_recipe_same_hashes(tmp_path: Path, env_id: str, policy: str, tier: str | None) -> None:
    a = build_dataset(env_id, policy, tier, steps=3_000, seed=5, out=tmp_path / "a")
    b = build_dataset(env_id, policy, tier, steps=3_000, seed=5, out=tmp_path / "b")
    other = build_dataset(env_id, policy, tier, steps=3_000, seed=6, out=tmp_path / "b")
    assert a.read_bytes() == b.read_bytes()
    assert read(a).metadata["sha256"]["observations"] != read(other).metadata["sha256"]["observations"]


@pytest.mark.parametrize("env_id", [ENV, "PhysCartPoleDiscrete-v0"])
def test_mixed_is_a_third_each_and_tiers_are_ordered(tmp_path: Path, env_id: str) -> None:
    path = build_dataset(env_id, "heuristic", "mixed", steps=9_001, out=tmp_path)
    data = load_file(path)
    assert data.steps == 9_001
    assert [part["tier"] for part in data.metadata["parts"]] == ["weak", "medium", "expert"]
    scores = [score["score"] for score in data.metadata["scores"]]
    np.testing.assert_allclose(scores[:2], [20, 50], atol=10)
    assert scores[2] >= 95
    cuts = np.flatnonzero(data.infos["collection_cut"])
    assert set(cuts) <= {3_000, 6_000, 9_000}


def test_file_carries_its_recipe(medium_file: Path) -> None:
    metadata = load_file(medium_file).metadata
    assert metadata["command"].startswith("build-dataset --policy heuristic --tier medium")
    assert metadata["params"]["half_length"] == 0.5
    assert metadata["versions"]["cartpole-phys"] == cartpole_phys.__version__
    assert metadata["references"]["ref_min"]["episodes"] == 1_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "heuristc"}, "Unknown policy 'heuristc'; choose from random, heuristic, ppo, sac"),
        ({"policy": "heuristic", "tier": "epxert"}, "choose from weak, .*medium, .*expert, .*mixed"),
        ({"policy": "random", "tier": "expert"}, "choose from random"),
        ({"policy": "sac", "tier": "weak"}, "choose from medium, expert"),
        (
            {"env_id": "PhysCartPoleDiscrete-v0"},
            "needs continuous actions, so it is not available in PhysCartPoleDiscrete-v0; choose",
        ),
        ({"env_id": "Hoper-v5"}, "choose from PhysCartPole-v0, PhysCartPoleDiscrete-v0"),
        ({"policy": "random", "env_kwargs": {"integrator": "rk9"}}, "choose from euler, semi_implicit_euler"),
        ({"policy": "random", "env_kwargs": {"wind": 3}}, "got an unexpected keyword argument 'wind'"),
        (
            {"policy": "random", "env_kwargs": {"continuous": False}},
            "got an unexpected keyword argument 'continuous'",
        ),
        ({"policy": "random", "env_kwargs": {"integrator": ["euler"]}}, "choose from euler"),
        ({"policy": "random", "env_kwargs": {"params": 5}}, "Expected params as names and numbers"),
        ({"policy": "random", "steps": 0}, "--steps of at least 1, got 0"),
        (
            {"policy": "random", "steps": 10**30},
            "--steps of at most 1,000,000,000,000, got",
        ),
        ({"policy": "sac", "seed": 2**32}, "--seed below 4,294,967,296 for a trained agent, got 4294967296"),
        (
            {"policy": "random", "env_id": "Pendulum-v1", "env_kwargs": {"g": "abc"}},
            "cannot take a step with",
        ),
        ({"policy": "heuristic", "tier": "mixed", "steps": 2}, "--steps of at least 3"),
        ({"policy": "random", "seed": -1}, "--seed of at least 0, got -1"),
        ({"policy": "random", "deterministic": True}, "--deterministic is for trained agents"),
        ({"policy": "random", "name": "../up"}, "Expected --name of lowercase letters"),
        (
            {"policy": "random", "steps": 9, "name": "physcartpole-sac-medium-v0"},
            "belongs to the released recipe",
        ),
        ({"policy": "heuristic", "env_kwargs": {"params": {"force_mag": 0.01}}}, "no strength does"),
    ],
)
def test_invalid_options_are_rejected(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_dataset(**arguments, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = build_dataset(policy="random", steps=100, out=tmp_path)
    before = path.stat().st_mtime_ns
    with pytest.raises(InputError, match="exists already; pass --overwrite"):
        build_dataset(policy="random", steps=100, out=tmp_path)
    assert path.stat().st_mtime_ns == before
    build_dataset(policy="random", steps=100, out=tmp_path, overwrite=True)
    assert path.stat().st_mtime_ns > before


@pytest.mark.parametrize("shard_steps", [None, 50])
def test_a_file_built_by_another_process_is_left_unchanged(tmp_path: Path, shard_steps: int | None) -> None:
    build: dict[str, Any] = {"policy": "random", "steps": 100, "shard_steps": shard_steps, "out": tmp_path}
    path = build_dataset(**build)
    before = sorted(tmp_path.rglob("*"))
    with writer_lock(path), pytest.raises(InputError, match="being written by another process; wait"):
        build_dataset(**build, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_uncreatable_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="make it writable, or choose another place"):
        build_dataset(policy="random", steps=100, out=tmp_path / "file" / "below")


POLICIES = """
def balancing():
    return lambda observations: (8.0 * observations[:, 2:3] + observations[:, 3:]).clip(-1.0, 1.0)

def without_its_file():
    return lambda observations: open("/nowhere/weights")
"""


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with policies."""
    (tmp_path / "policies_of_a_build.py").write_text(POLICIES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "policies_of_a_build", raising=False)
    return "policies_of_a_build"


def test_the_error_for_a_wrong_tier_suggests_omitting_it(tmp_path: Path, policies: str) -> None:
    with pytest.raises(InputError, match=r"tier 'medium' to score 40 to 60, .*; leave out --tier"):
        build_dataset(policy=f"{policies}:balancing", tier="medium", steps=600, out=tmp_path / "out")


def test_a_file_that_a_policy_misses_is_not_the_one_written(tmp_path: Path, policies: str) -> None:
    with pytest.raises(InputError, match=r"but it raised FileNotFoundError: .*/nowhere/weights"):
        build_dataset(policy=f"{policies}:without_its_file", steps=600, out=tmp_path / "out")


def test_an_agent_learns_from_one_rollout_at_least(tmp_path: Path) -> None:
    message = "--train-steps of at least 2,048, the first rollout of 'ppo' in CartPole-v1, got 100"
    with pytest.raises(InputError, match=message):
        build_dataset("CartPole-v1", "ppo", "full-replay", train_steps=100, out=tmp_path)
    for train_steps, expected in ((256, 8), (1_000, 10), (100_000, 256)):
        training = _training_recipe(Recipe(ENV, "ppo", train_steps=train_steps), MEDIUM)
        assert training.checkpoint_every == expected


def test_a_replay_has_no_more_steps_than_were_recorded(tmp_path: Path) -> None:
    replay: dict[str, Any] = {"env_id": "PhysCartPoleDiscrete-v0", "policy": "ppo", "tier": "medium-replay"}
    whole = load_file(build_dataset(**replay, out=tmp_path)).steps
    with pytest.raises(InputError, match=f"--steps of at most {whole:,}, .* got {whole + 1:,}; leave"):
        build_dataset(**replay, steps=whole + 1, out=tmp_path)


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_interrupt_leaves_no_files(tmp_path: Path, delay: float) -> None:
    program = "from cartpole_phys.cli import build_dataset_main as m; print('ready', flush=True); m()"
    words = ["--policy", "random", "--steps", "50000000", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 30
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "Interrupted; partial files were removed.\n"
    assert list(tmp_path.iterdir()) == []


def test_long_policy_names_are_truncated() -> None:
    recipe = Recipe(policy=f"some.module:load({'/folder' * 60!r})")
    assert is_plain(recipe.name)
    assert recipe.name != replace(recipe, policy=recipe.policy.replace("r')", "rs')")).name
