"""The cache of training runs: hits, corrupted entries, unwritable folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole_phys.policies.training.cache import Cache, load, save, training_run
from cartpole_phys.policies.training.run import TrainingRun
from tests.support.training_recipes import small_recipe, trained

VARIED = {"randomize": {"pole_mass": [0.05, 0.2]}, "observation_noise": 0.01, "push_rate": 5.0}


def _assert_same(one: TrainingRun, other: TrainingRun) -> None:
    assert one.description == other.description
    assert list(one.weights) == list(other.weights)
    assert set(one.recording.arrays) == set(other.recording.arrays)
    pairs: list[tuple[Any, Any]] = [(one.steps, other.steps), (one.mean_returns, other.mean_returns)]
    pairs += [(one.weights[name], other.weights[name]) for name in one.weights]
    recorded = one.recording.arrays, other.recording.arrays
    pairs += [(recorded[0][name], recorded[1][name]) for name in recorded[0]]
    for ours, theirs in pairs:
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.tobytes() == theirs.tobytes()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "cartpole-phys" / "agents"


def test_a_cache_hit_returns_the_same_run(cache: Path) -> None:
    recipe = small_recipe(env_kwargs=VARIED)
    told: list[int] = []
    run = training_run(recipe, on_checkpoint=lambda steps, mean_return: told.append(steps))
    assert told == run.steps.tolist()
    assert [path.name for path in cache.iterdir()] == [f"{recipe.sha256}.safetensors"]
    kept = training_run(recipe, on_checkpoint=lambda *_: pytest.fail("the cache was not asked"))
    _assert_same(kept, run)
    assert list(kept.recording.episodes().infos) == list(run.recording.episodes().infos)
    training_run(recipe, Cache.REPLACE, on_checkpoint=lambda steps, mean_return: told.append(steps))
    assert len(told) == 2 * len(run.steps)


def test_a_corrupted_cache_file_is_retrained(cache: Path) -> None:
    recipe = small_recipe()
    run = training_run(recipe)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    for damage in (b"", whole[:-10], whole[:50], b"not a tensor" * 99, bytes(flipped)):
        path.write_bytes(damage)
        assert load(path) is None
    _assert_same(training_run(recipe), run)
    reloaded = load(path)
    assert reloaded is not None
    _assert_same(reloaded, run)
    path.unlink()
    path.mkdir()
    _assert_same(training_run(recipe), run)


def test_a_file_without_the_expected_arrays_is_not_a_run(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for note in (None, {"a": "b"}, {"sha256": "0", "description": "{}"}):
        save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors", metadata=note)
        assert load(tmp_path / "other.safetensors") is None
    assert load(tmp_path / "missing.safetensors") is None


def test_an_unwritable_cache_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no-cache")
    assert training_run(small_recipe()).recording.steps == 288


def test_runs_are_saved_atomically(tmp_path: Path) -> None:
    run = trained(small_recipe())
    path = tmp_path / "new" / "run.safetensors"
    save(path, run)
    kept = load(path)
    assert kept is not None
    _assert_same(kept, run)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
