"""Transitions and episodes in D4RL's formats: strict, and with D4RL's defects corrected."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.data.transitions import qlearning_dataset, sequence_dataset
from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array
from tests.support.flat_data import KINDS, flat_data, transitions_row_by_row

Arrays = Mapping[str, Array]


def _episodes_row_by_row(arrays: Arrays) -> Iterator[dict[str, Array]]:
    """D4RL's rule for episodes: collect rows until one has a flag."""
    rows: list[int] = []
    for row in range(len(arrays["rewards"])):
        rows.append(row)
        if arrays["terminals"][row] or arrays["timeouts"][row]:
            yield {name: np.array([array[row] for row in rows]) for name, array in arrays.items()}
            rows = []


def _same(got: Arrays, expected: Arrays) -> None:
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("terminate_on_end", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 300])
def test_strict_transitions_row_by_row(kind: str, terminate_on_end: bool, steps: int) -> None:
    arrays = flat_data(kind, steps)
    got = qlearning_dataset(arrays, terminate_on_end, strict_d4rl=True)
    expected = transitions_row_by_row(arrays, terminate_on_end)
    _same(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_strict_episodes_row_by_row(kind: str) -> None:
    arrays = flat_data(kind)
    pairs = zip(sequence_dataset(arrays, strict_d4rl=True), _episodes_row_by_row(arrays), strict=True)
    for got, expected in pairs:
        _same(got, expected)


@pytest.mark.parametrize("continuous", [True, False])
def test_transitions_are_all_rows_with_their_true_next_observation(continuous: bool) -> None:
    data = collect(CartPole(continuous=continuous), uniform(), 300, seed=3)
    got = qlearning_dataset(data)
    assert {name: len(array) for name, array in got.items()} == dict.fromkeys(got, 300)
    for i, episode in enumerate(data):
        rows = slice(data.offsets[i], data.offsets[i + 1])
        np.testing.assert_array_equal(got["observations"][rows], episode.observations)
        np.testing.assert_array_equal(got["next_observations"][rows][-1], episode.final_observation)
        assert got["terminals"][rows].tolist() == [False] * (len(episode.rewards) - 1) + [episode.terminated]
    assert not got["terminals"][-1]  # the collection stopped inside the episode
    assert got["actions"].dtype == (np.float32 if continuous else np.int64)
    assert np.shares_memory(got["observations"], data.observations)


def test_terminate_on_end_ends_every_episode() -> None:
    data = collect(CartPole(), uniform(), 300, seed=3)
    ends = qlearning_dataset(data, terminate_on_end=True)["terminals"]
    np.testing.assert_array_equal(np.flatnonzero(ends) + 1, data.offsets[1:])
    assert not data.terminations[-1]  # the data's own flags are left alone
    tail = flat_data("unflagged tail")
    assert qlearning_dataset(tail, terminate_on_end=True)["terminals"][-1]
    assert not tail["timeouts"].any()


def test_float64_files_become_float32() -> None:
    got = qlearning_dataset(flat_data("float64"))
    assert {array.dtype for name, array in got.items() if name != "terminals"} == {np.dtype(np.float32)}
    assert got["terminals"].dtype == np.bool_


@pytest.mark.parametrize("kind", KINDS)
def test_episodes_cover_every_row_as_views(kind: str) -> None:
    arrays = flat_data(kind)
    episodes = list(sequence_dataset(arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.concatenate([episode[name] for episode in episodes]), array)
        assert all(np.shares_memory(episode[name], array) for episode in episodes)
    for episode in episodes[:-1]:
        ends = episode["terminals"].astype(np.bool_) | episode["timeouts"].astype(np.bool_)
        assert ends.tolist() == [False] * (len(ends) - 1) + [True]


def test_both_forms_hold_the_episodes_of_the_data() -> None:
    data = collect(CartPole(), uniform(), 300, seed=3)
    for episode, sequence in zip(data, sequence_dataset(data), strict=True):
        np.testing.assert_array_equal(sequence["observations"], episode.observations)
        np.testing.assert_array_equal(sequence[f"infos/{CUT}"], episode.infos[CUT])
        again = Episodes.from_d4rl(sequence)
        np.testing.assert_array_equal(again[0].final_observation, episode.final_observation)


def test_arrays_of_other_lengths() -> None:
    arrays = flat_data("continuous")
    extra = {**arrays, "metadata/iteration": np.array(3), "metadata/policy/bias": np.zeros(7)}
    assert {name for episode in sequence_dataset(extra) for name in episode} == arrays.keys()
    with pytest.raises(InputError, match="metadata/iteration, metadata/policy/bias"):
        sequence_dataset(extra, strict_d4rl=True)
    _same(qlearning_dataset(extra), qlearning_dataset(arrays))
    for form in (qlearning_dataset, sequence_dataset):
        with pytest.raises(InputError, match="Expected timeouts of shape"):
            form({**arrays, "timeouts": arrays["timeouts"][:-1]})
        with pytest.raises(InputError, match="is missing"):
            form({})


def test_strict_functions_do_not_infer_timeouts() -> None:
    arrays = {name: array for name, array in flat_data("continuous").items() if name != "timeouts"}
    for form in (qlearning_dataset, sequence_dataset):
        with pytest.raises(InputError, match="do not set strict_d4rl"):
            form(arrays, strict_d4rl=True)
    _same(qlearning_dataset(arrays), qlearning_dataset(flat_data("continuous")))
    assert len(list(sequence_dataset(arrays))) == len(list(sequence_dataset(flat_data("continuous"))))


@pytest.mark.parametrize("kind", KINDS)
def test_without_next_observations(kind: str) -> None:
    arrays = {name: array for name, array in flat_data(kind).items() if name != "next_observations"}
    strict = qlearning_dataset(arrays, strict_d4rl=True)
    _same(strict, qlearning_dataset(flat_data(kind), strict_d4rl=True))
    if kind in ("continuous", "unflagged tail", "float64", "no flags"):
        _same(qlearning_dataset(arrays), strict)


def test_flags_in_a_column_count_alike() -> None:
    arrays = flat_data("overlapping flags")
    column = {**arrays, **{name: arrays[name][:, None] for name in ("terminals", "timeouts")}}
    for strict in (False, True):
        _same(qlearning_dataset(column, strict_d4rl=strict), qlearning_dataset(arrays, strict_d4rl=strict))


def test_public_names() -> None:
    assert cartpole_phys.qlearning_dataset is qlearning_dataset
    assert cartpole_phys.sequence_dataset is sequence_dataset
