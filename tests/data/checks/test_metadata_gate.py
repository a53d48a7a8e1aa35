"""The metadata gate compares all metadata of a file with its other contents."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole_phys import build_dataset
from cartpole_phys.data.checks.consistency import COMPARED, FREE_TEXT, IMPLIED, OTHER_GATES
from cartpole_phys.data.checks.metadata import Metadata
from cartpole_phys.data.checks.run import FAILED, PASSED, GateRun
from cartpole_phys.data.hdf5.blocks import Block, blocks
from cartpole_phys.data.hdf5.file import Header, Reader, read_header
from cartpole_phys.utils.errors import InputError
from tests.support.rehashed import Arrays, Weights, edited_copy, failing

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A heuristic medium-expert set of 900 transitions, scored on few episodes."""
    out = tmp_path_factory.mktemp("small")
    return build_dataset(policy="heuristic", tier="medium-expert", steps=900, score_episodes=20, out=out)


def _set(*keys: Any, to: Any) -> Change:
    """Replace the entry under these keys; ``to`` is a value or a function of the old value."""

    def change(metadata: dict[str, Any]) -> None:
        within: Any = metadata
        for key in keys[:-1]:
            within = within[key]
        within[keys[-1]] = to(within[keys[-1]]) if callable(to) else to

    return change


def _rescored(metadata: dict[str, Any]) -> None:
    metadata["scores"] = metadata["scores"][::-1]


DEFECTS: list[tuple[str, Change]] = [
    ("tier", _set("tier", to="mixed")),
    ("algorithm", _set("algorithm", to="sac")),
    ("scores", _set("scores", 0, "score", to=99.0)),
    ("scores.interval", _set("scores", 1, "score_low", to=lambda low: low + 0.01)),
    ("scores.mean_return", _set("scores", 0, "mean_return", to=500.0)),
    ("scores.order", _rescored),
    ("summary.transitions", _set("summary", "transitions", to=901)),
    ("summary.episodes", _set("summary", "episodes", to=lambda count: count + 1)),
    ("summary.complete_episodes", _set("summary", "complete_episodes", to=lambda count: count - 1)),
    ("summary.return_sum", _set("summary", "return_sum", to=lambda total: total * 2)),
    ("command", _set("command", to=lambda words: words.replace("--seed 0", "--seed 1"))),
    ("recipe.policy", _set("recipe", "policy", to="sac")),
    ("recipe.tier", _set("recipe", "tier", to="mixed")),
    ("recipe.steps", _set("recipe", "steps", to=1_000)),
    ("recipe.seed", _set("recipe", "seed", to=1)),
    ("recipe.deterministic", _set("recipe", "deterministic", to=True)),
    ("recipe.env_id", _set("recipe", "env_id", to="PhysCartPoleDiscrete-v0")),
    ("recipe.env_kwargs", _set("recipe", "env_kwargs", to={"push_rate": 5.0})),
    ("recipe.shard_steps", _set("recipe", "shard_steps", to=100)),
    ("recipe.train_steps", _set("recipe", "train_steps", to=100)),
    ("recipe.score_episodes", _set("recipe", "score_episodes", to=30)),
    ("params", _set("params", "gravity", to=9.81)),
    ("dataset_name", _set("dataset_name", to="physcartpole-heuristic-expert-v0")),
    ("dataset_name of a release", _set("dataset_name", to="physcartpole-heuristic-medium-expert-v0")),
    (
        "dataset_name of other steps",
        _set("dataset_name", to="physcartpole-heuristic-medium-expert-steps5-v0"),
    ),
    ("dataset_name of a path", _set("dataset_name", to="../up")),
    ("max_episode_steps", _set("env_spec", "max_episode_steps", to=1_000)),
    ("env_spec", _set("env_spec", "entry_point", to="os:system")),
    ("ref_max", _set("references", "ref_max", "mean", to=400.0)),
    ("ref_min", _set("references", "ref_min", "episodes", to=10)),
    ("evaluation", _set("evaluation", "seed", to=7)),
    ("parts.tier", _set("parts", 0, "tier", to="expert")),
    ("parts.command", _set("parts", 1, "command", to="build-dataset")),
    ("parts.source", _set("parts", 0, "source", to="training")),
    ("parts.collection_seed", _set("parts", 0, "collection_seed", to=1)),
    ("parts.calibration", _set("parts", 0, "calibration", "seed", to=1)),
    ("parts.gain", _set("parts", 0, "gain", to=lambda gain: gain * (1 + 1e-6))),
    ("parts", lambda metadata: metadata["parts"].append({**metadata["parts"][0], "rows": 0})),
    ("schema_version", _set("schema_version", to=2)),
    (
        "release",
        lambda metadata: metadata.update(release={"version": "v0", "arrays_sha256": "0", "equal": True}),
    ),
    ("an attribute that no build writes", lambda metadata: metadata.update(license="none")),
]


@pytest.mark.parametrize("change", [change for _, change in DEFECTS], ids=[name for name, _ in DEFECTS])
def test_contradicting_metadata_fails(small_file: Path, tmp_path: Path, change: Change) -> None:
    def edit(arrays: Arrays, metadata: dict[str, Any]) -> None:
        change(metadata)

    assert failing(small_file) == []
    assert failing(edited_copy(small_file, tmp_path / "set.hdf5", edit)) != []


def test_weights_of_a_policy_without_a_network_fail(small_file: Path, tmp_path: Path) -> None:
    def reweigh(weights: Weights) -> None:
        weights["0"] = {"fc0.weight": np.zeros((2, 2), np.float32)}

    assert (
        failing(edited_copy(small_file, tmp_path / "set.hdf5", lambda arrays, metadata: None, reweigh)) != []
    )


FILES = ("small_file", "random_file", "varied_file", "discrete_file", "sac_file", "stitching_file", "shard")
QUICK = ("small_file", "shard")
# Leaves verified only by another gate or by retraining: prefixes of their paths, without list indices.
OTHERS = [
    *((name,) for name in (*FREE_TEXT, *OTHER_GATES)),
    ("dataset_name",),  # free, unless it is the name of another recipe
    ("parts", "sha256"),  # the gate of the parts
    ("parts", "iteration"),  # which checkpoint of the training it is
    ("parts", "noise"),  # of a stitching expert: the tier gate, by its score
]


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second shard of the second part of a mixed set."""
    out = tmp_path_factory.mktemp("sharded")
    build: dict[str, Any] = {"tier": "medium-expert", "steps": 400, "shard_steps": 100, "score_episodes": 20}
    return sorted(build_dataset(policy="heuristic", out=out, **build).glob("shard-*"))[3]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of the numbers and strings in metadata."""
    if isinstance(value, (dict, list)) and value:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _leaves(value[key], (*path, key))
    else:
        yield path


def _other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else [value]


def _status(header: Header, rows: list[Block]) -> str:
    run = GateRun(Metadata, header)
    for block in rows:
        run.check_rows(block)
    return run.finish().status


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FILES]
)
def test_every_leaf_of_the_metadata_is_compared(request: pytest.FixtureRequest, name: str) -> None:
    with Reader(request.getfixturevalue(name)) as reader:
        header, rows = reader.header, list(blocks(reader))
    assert _status(header, rows) == PASSED
    unnoticed = []
    for path in _leaves(header.metadata):
        words = tuple(key for key in path if isinstance(key, str))
        if any(words[: len(other)] == other for other in OTHERS):
            continue
        metadata = copy.deepcopy(dict(header.metadata))
        _set(*path, to=_other)(metadata)
        if _status(replace(header, metadata=metadata), rows) != FAILED:
            unnoticed.append(path)
    assert unnoticed == []


@pytest.mark.parametrize("name", FILES)
def test_every_attribute_is_classified(request: pytest.FixtureRequest, name: str) -> None:
    """Each is in one table: derived from the recipe, compared, or free text with a reason."""
    tables = [set(IMPLIED), set(COMPARED), set(OTHER_GATES), set(FREE_TEXT)]
    assert set(read_header(request.getfixturevalue(name)).metadata) <= set.union(*tables)
    assert sum(map(len, tables)) == len(set.union(*tables))
    assert all(FREE_TEXT.values())


def test_a_chosen_name_is_not_that_of_another_recipe(tmp_path: Path) -> None:
    for name in ("physcartpole-random-seed1-v0", "hopper_v5-ppo-expert-steps5-v0"):
        with pytest.raises(InputError, match="the form of another recipe's name; leave --name out to get"):
            build_dataset(policy="random", steps=100, name=name, out=tmp_path)
    for name in ("physcartpole-random-steps100-v0", "physcartpole-random-mine", "mine"):
        build_dataset(policy="random", steps=100, score_episodes=None, name=name, out=tmp_path)
