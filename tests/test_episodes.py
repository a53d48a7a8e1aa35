"""The in-memory form of data: views, flags, derived arrays."""

import numpy as np
import pytest

from cartpole_phys.episodes import CUT, Episodes, concatenate
from cartpole_phys.errors import InputError
from cartpole_phys.policies.heuristic import proportional, uniform
from cartpole_phys.rollout import collect
from cartpole_phys.system import CartPole


def _data(steps: int = 5_000) -> Episodes:
    return collect(CartPole(), proportional(1.15, True), steps, seed=2)


def test_episodes_are_views_that_cover_everything() -> None:
    data = _data()
    assert sum(len(episode.rewards) for episode in data) == data.steps == 5_000
    assert all(np.shares_memory(episode.observations, data.observations) for episode in data)
    assert data[-1].truncated
    with pytest.raises(IndexError):
        data[len(data)]


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


def test_a_fall_on_the_last_allowed_step_is_a_terminal_only() -> None:
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
    with pytest.raises(InputError, match="at least one transition"):
        Episodes.from_d4rl({key: values[:0] for key, values in flat.items()})


def test_concatenation_keeps_episodes_whole() -> None:
    parts = [_data(1_000), collect(CartPole(), proportional(0.9, True), 700, seed=3)]
    joined = concatenate(parts)
    assert len(joined) == len(parts[0]) + len(parts[1])
    np.testing.assert_array_equal(joined[len(parts[0])].observations, parts[1][0].observations)
    np.testing.assert_array_equal(joined.returns, np.concatenate([part.returns for part in parts]))
    assert joined.infos[CUT].sum() == 2


def test_cut_episodes_are_told_apart() -> None:
    data = collect(CartPole(), uniform(), 1_003, seed=0)
    assert data.complete[:-1].all()
    assert not data.complete[-1]
