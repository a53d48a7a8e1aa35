"""Indexing, selection and lengths of episodes, in memory and in shards."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cartpole_phys import build_dataset, load_dataset, normalized_score
from cartpole_phys.utils.errors import InputError

STEPS = 2_000


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One data set as a file and as a folder of shards."""
    out = tmp_path_factory.mktemp("access")
    return {
        "file": build_dataset(policy="random", steps=STEPS, out=out / "whole"),
        "shards": build_dataset(policy="random", steps=STEPS, shard_steps=STEPS // 4, out=out / "shards"),
    }


@pytest.fixture(params=["file", "shards"])
def data(request: pytest.FixtureRequest, places: dict[str, Path]) -> Any:
    """The data set, in memory or in shards."""
    return load_dataset(places[request.param])


def test_episode_length_is_its_number_of_steps(data: Any) -> None:
    assert [len(episode) for episode in data] == data.lengths.tolist()
    assert [episode.total_return for episode in data] == data.returns.tolist()
    assert type(data[0].total_return) is float
    median = int(np.median(data.lengths))
    long = data.filter(lambda episode: len(episode) > median)
    assert 0 < len(long) == (data.lengths > median).sum()


@pytest.mark.parametrize(
    "name", ["count", "index", "_replace", "_asdict", "__getitem__", "__iter__", "__add__"]
)
def test_episodes_are_not_tuples(data: Any, name: str) -> None:
    assert not hasattr(data[0], name)


def test_masks_and_lists_select_episodes(data: Any) -> None:
    mask = data.returns > np.median(data.returns)
    assert data[mask].returns.tolist() == data.returns[mask].tolist()
    assert data[mask.tolist()].returns.tolist() == data.returns[mask].tolist()
    for indices in ([2, 1], (2, 1), np.array([2, 1]), [-1], []):
        assert data[indices].returns.tolist() == data.returns[np.array(indices, dtype=int)].tolist()
    assert len(data[np.int64(3)]) == data.lengths[3]


def test_d4rl_keys_return_arrays(data: Any) -> None:
    expected = data[:].as_d4rl()
    for name, values in expected.items():
        np.testing.assert_array_equal(data[name], values)
    assert data.as_d4rl().keys() == expected.keys()
    with pytest.raises(KeyError, match=r"Expected one of observations, .*, got 'obs'"):
        data["obs"]


@pytest.mark.parametrize("index", [1.5, None, np.float64(1.0), {"a": 1}])
def test_other_indices_are_type_errors(data: Any, index: Any) -> None:
    with pytest.raises(TypeError, match=r"Expected an index, a slice, .* or a name"):
        data[index]


@pytest.mark.parametrize("index", [10**6, -(10**6)])
def test_indices_out_of_range_are_index_errors(data: Any, index: int) -> None:
    with pytest.raises(IndexError):
        data[index]


def test_sampling_needs_no_seed(data: Any) -> None:
    drawn = {tuple(data.sample(3).returns.tolist() + data.sample(3).lengths.tolist()) for _ in range(20)}
    assert len(drawn) > 1
    assert data.sample(3, 0).returns.tolist() == data.sample(3, seed=0).returns.tolist()


def test_shards_have_the_interface_of_files(places: dict[str, Path]) -> None:
    shards = load_dataset(places["shards"])
    whole = shards[:]
    observations: npt.NDArray[np.float32] = shards.observations  # typed alike, whatever the path names
    np.testing.assert_array_equal(observations, whole.observations)
    for name in (
        "actions", "rewards", "terminations", "truncations", "final_observations", "offsets",
        "complete", "eligible", "next_observations", "returns_to_go",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(shards, name), getattr(whole, name))
    assert shards.infos.keys() == whole.infos.keys()
    for mine, other in zip(shards.split(0.7, seed=1), whole.split(0.7, seed=1), strict=True):
        np.testing.assert_array_equal(mine.observations, other.observations)


def test_the_score_of_one_return_is_a_float() -> None:
    values: list[Any] = [250.0, 250, np.float32(250), np.array(250.0)]
    for value in values:
        assert type(normalized_score("PhysCartPole-v0", value)) is float
    many = normalized_score("PhysCartPole-v0", [[250.0, 100.0]])
    assert isinstance(many, np.ndarray)
    assert many.shape == (1, 2)
    assert float(many[0, 0]) == normalized_score("PhysCartPole-v0", 250.0)


def test_a_mask_of_the_wrong_length_is_rejected(data: Any) -> None:
    with pytest.raises(InputError, match=r"Expected a mask of .* got bool of shape \(2,\)"):
        data[[True, False]]
