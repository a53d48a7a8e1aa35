"""In-memory episodes: views, flags, derived arrays."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from cartpole_phys.episodes import CUT, Episodes, concatenate
from cartpole_phys.policies.controllers import proportional, uniform
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError


def _data(steps: int = 5_000) -> Episodes:
    return collect(CartPole(), proportional(1.15, True), steps, seed=2)


def _same_episodes(got: Episodes, data: Episodes, indices: Sequence[int]) -> None:
    """Assert that ``got`` holds exactly these episodes of the data, infos included."""
    assert len(got) == len(indices)
    assert got.offsets[0] == 0
    assert got.offsets[-1] == got.steps == sum(data.lengths[i] for i in indices)
    assert got.metadata == data.metadata
    for episode, i in zip(got, indices, strict=True):
        expected = data[i]
        for name in ("observations", "actions", "rewards", "final_observation"):
            np.testing.assert_array_equal(getattr(episode, name), getattr(expected, name))
        assert (episode.terminated, episode.truncated) == (expected.terminated, expected.truncated)
        assert episode.infos.keys() == data.infos.keys()
        for name, values in episode.infos.items():
            np.testing.assert_array_equal(values, expected.infos[name])


def _share_memory(part: Episodes, data: Episodes) -> bool:
    """Whether all arrays of a part are views into the data."""
    names = ("observations", "actions", "rewards", "terminations", "truncations", "final_observations")
    return all(np.shares_memory(getattr(part, name), getattr(data, name)) for name in names) and all(
        np.shares_memory(part.infos[name], data.infos[name]) for name in data.infos
    )


def test_episodes_are_views_that_cover_everything() -> None:
    data = _data()
    assert sum(len(episode.rewards) for episode in data) == data.steps == 5_000
    assert all(np.shares_memory(episode.observations, data.observations) for episode in data)
    assert all(np.shares_memory(episode.infos["qpos"], data.infos["qpos"]) for episode in data)
    assert data[-1].truncated
    with pytest.raises(IndexError):
        data[len(data)]


def test_repr_is_one_line() -> None:
    data = replace(_data(), metadata={"dataset_name": "balance\x1b[2J-v0"})
    assert repr(data) == f"Episodes({len(data)} episodes, 5,000 steps, balance\ufffd[2J-v0)"
    assert repr(_data(30)[-1:]) == "Episodes(1 episodes, 30 steps)"
    steps = len(data[0].rewards)
    assert repr(data[0]) == f"Episode({steps} steps, return {steps}, terminated=True, truncated=False)"


def test_derived_arrays_against_plain_loops() -> None:
    data = _data()
    for i, episode in enumerate(data):
        rows = slice(data.offsets[i], data.offsets[i + 1])
        expected = np.vstack([episode.observations[1:], episode.final_observation])
        np.testing.assert_array_equal(data.next_observations[rows], expected)
        to_go = [episode.rewards[t:].sum() for t in range(len(episode.rewards))]
        np.testing.assert_array_equal(data.returns_to_go[rows], to_go)
        assert data.returns[i] == episode.rewards.sum()
    np.testing.assert_array_equal(data.lengths, np.diff(data.offsets))


def test_d4rl_round_trip() -> None:
    data = _data()
    again = Episodes.from_d4rl(data.as_d4rl())
    for name in ("observations", "actions", "rewards", "terminations", "final_observations", "offsets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))
    assert set(again.infos) == set(data.infos)


def test_termination_at_the_time_limit_is_a_terminal_only() -> None:
    data = _data(10)
    both = Episodes(**{**vars(data), "terminations": data.truncations, "truncations": data.truncations})
    flat = both.as_d4rl()
    assert flat["terminals"][-1]
    assert not flat["timeouts"].any()


def test_unflagged_tail_becomes_an_episode() -> None:
    flat = _data().as_d4rl()
    flat["timeouts"] = np.zeros_like(flat["timeouts"])
    loaded = Episodes.from_d4rl(flat)
    assert loaded.offsets[-1] == 5_000
    assert not loaded.complete[-1]
    moved = Episodes.from_d4rl(loaded.select([len(loaded) - 1, 0]).as_d4rl())
    assert moved.lengths.tolist() == loaded.lengths[[-1, 0]].tolist()  # it does not run into the next one
    with pytest.raises(InputError, match="at least one transition"):
        Episodes.from_d4rl({key: values[:0] for key, values in flat.items()})


def test_concatenation_keeps_episodes_whole() -> None:
    parts = [_data(1_000), collect(CartPole(), proportional(0.9, True), 700, seed=3)]
    joined = concatenate(parts)
    assert len(joined) == len(parts[0]) + len(parts[1])
    np.testing.assert_array_equal(joined[len(parts[0])].observations, parts[1][0].observations)
    np.testing.assert_array_equal(joined.returns, np.concatenate([part.returns for part in parts]))
    assert joined.infos[CUT].sum() == 2


def test_cut_episodes_are_distinguished() -> None:
    data = collect(CartPole(), uniform(), 1_003, seed=0)
    assert data.complete[:-1].all()
    assert not data.complete[-1]


@pytest.mark.parametrize("indices", [[], [4], [3, 4, 5], [2, 2, 4], [5, 3, 3, -1], [-1, 0], range(7, 1, -2)])
def test_select_returns_the_episodes_of_the_indices(indices: Sequence[int]) -> None:
    data = collect(CartPole(continuous=False), uniform(), 500, seed=0)
    _same_episodes(data.select(indices), data, indices)
    _same_episodes(data.select(np.array(indices, dtype=np.int32)), data, indices)


@pytest.mark.parametrize(
    "indices", [[0.0, 1.0], [True, False], 3, [[0, 1], [2, 3]], [0, 1_000_000], [-1_000_000], ["a"]]
)
def test_invalid_indices_are_rejected(indices: object) -> None:
    with pytest.raises(InputError, match="ndices"):
        collect(CartPole(), uniform(), 100, seed=0).select(indices)  # type: ignore[arg-type]


def test_slices_are_views_unless_they_skip() -> None:
    data = collect(CartPole(), uniform(), 2_000, seed=0)
    count = len(data)
    for part in (slice(10, 20), slice(None), slice(-3, None), slice(5, 6)):
        _same_episodes(data[part], data, range(count)[part])
        assert _share_memory(data[part], data)
    for part in (slice(None, None, 2), slice(None, None, -1), slice(4, 4), slice(count, None)):
        _same_episodes(data[part], data, range(count)[part])
        assert not _share_memory(data[part], data)
    np.testing.assert_array_equal(
        data[10:20].returns_to_go, data.returns_to_go[slice(*data.offsets[[10, 20]])]
    )


def test_filter_by_mask_and_by_function() -> None:
    data = collect(CartPole(), proportional(1.0, True), 3_000, seed=0)
    long = np.flatnonzero(data.lengths > np.median(data.lengths)).tolist()
    assert 0 < len(long) < len(data)
    median = np.median(data.lengths)
    _same_episodes(data.filter(data.lengths > median), data, long)
    _same_episodes(data.filter(lambda episode: len(episode.rewards) > median), data, long)
    assert not len(data.filter(lambda episode: False))
    assert not data.filter(data.returns < 0).next_observations.size


@pytest.mark.parametrize("mask", [[True], np.ones(1_000_000, dtype=np.bool_), [0, 1, 2]])
def test_invalid_masks_are_rejected(mask: object) -> None:
    with pytest.raises(InputError, match="Expected a mask of"):
        collect(CartPole(), uniform(), 100, seed=0).filter(mask)  # type: ignore[arg-type]


def test_samples_are_distinct_episodes_and_reproducible_by_seed() -> None:
    data = collect(CartPole(), uniform(), 2_000, seed=0)
    starts = {episode.observations[0].tobytes(): i for i, episode in enumerate(data)}
    drawn = [starts[episode.observations[0].tobytes()] for episode in data.sample(30, seed=4)]
    assert len(set(drawn)) == 30
    assert drawn != sorted(drawn)
    _same_episodes(data.sample(30, seed=4), data, drawn)
    _same_episodes(data.sample(30, np.random.default_rng(4)), data, drawn)
    assert not np.array_equal(data.sample(30, 5).rewards, data.sample(30, 4).rewards)
    assert data.sample(len(data), 0).steps == data.steps
    for count in (len(data) + 1, -1, 2.0):
        with pytest.raises(InputError, match="Expected a number of episodes"):
            data.sample(count, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.9, 0.5, 0.02])
def test_split_puts_every_episode_in_exactly_one_part(share: float) -> None:
    data = collect(CartPole(), uniform(), 2_000, seed=0)
    train, rest = data.split(share)
    assert len(train) == round(share * len(data))
    parts = [episode.observations[0].tobytes() for part in (train, rest) for episode in part]
    whole = [episode.observations[0].tobytes() for episode in data]
    assert len(set(whole)) == len(data)
    assert sorted(parts) == sorted(whole)
    assert parts != whole
    np.testing.assert_array_equal(train.observations, data.split(share, seed=0)[0].observations)
    assert train[0].observations[0].tobytes() != data.split(share, seed=1)[0][0].observations[0].tobytes()


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, 0.001, 0.999, True, np.nan])
def test_splits_that_leave_a_part_empty(share: float) -> None:
    with pytest.raises(InputError, match="Expected a fraction"):
        collect(CartPole(), uniform(), 500, seed=0).split(share)


def test_tail_begins_where_an_episode_begins() -> None:
    data = collect(CartPole(), uniform(), 1_000, seed=0)
    for steps in (1, 7, 400, int(data.lengths[-3:].sum()), 999):
        tail = data.tail(steps)
        assert tail.steps == steps
        first = next(i for i in reversed(range(len(data))) if data.offsets[i] <= 1_000 - steps)
        np.testing.assert_array_equal(tail[0].observations[0], data[first].observations[0])
        whole = data[first : first + len(tail) - 1]
        np.testing.assert_array_equal(tail.returns_to_go[: whole.steps], whole.returns_to_go)
        np.testing.assert_array_equal(tail.returns[:-1], data.returns[first:][: len(tail) - 1])
        exact = int(data.offsets[first]) + steps in data.offsets
        assert bool(tail.infos[CUT][-1]) == (not exact or first + len(tail) == len(data))
    _same_episodes(data.tail(5_000), data, range(len(data)))
