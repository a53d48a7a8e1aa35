"""Training windows: slicing, sampling, normalization and validation of data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.utils.errors import InputError
from dt.data.source import Spaces, describe
from dt.data.windows import Normalization, Windows
from tests.support.small_models import CONTEXT, CONTINUOUS, DISCRETE, make_episodes

CPU = torch.device("cpu")


def normalization_of(episodes: Episodes) -> Normalization:
    """Compute the normalization as in training."""
    return Normalization.of(episodes, describe(episodes).spaces)


def naive_window(episodes: Episodes, start_row: int) -> tuple[np.ndarray, ...]:
    """Slice one window out of its episode and pad it."""
    index = int(np.searchsorted(episodes.offsets, start_row, side="right")) - 1
    episode, first = episodes[index], start_row - int(episodes.offsets[index])
    steps = slice(first, first + CONTEXT)
    returns_to_go = np.cumsum(episode.rewards[::-1], dtype=np.float64)[::-1]
    return (
        episode.observations[steps],
        episode.actions[steps],
        returns_to_go[steps],
        np.arange(len(episode.rewards))[steps],
    )


@pytest.mark.parametrize("env_id", [CONTINUOUS, DISCRETE])
def test_windows_equal_slices_of_episodes(env_id: str) -> None:
    episodes = make_episodes(env_id, steps=400)
    normalization = normalization_of(episodes)
    batch = Windows(episodes, normalization, CONTEXT, CPU).at(torch.arange(episodes.steps))
    for row in range(episodes.steps):
        observations, actions, returns_to_go, timesteps = naive_window(episodes, row)
        padding = CONTEXT - len(timesteps)
        assert batch.valid[row].tolist() == [slot >= padding for slot in range(CONTEXT)]
        scaled = (observations - np.array(normalization.observation_mean)) / normalization.observation_std
        np.testing.assert_allclose(batch.observations[row, padding:], scaled, atol=1e-5)
        np.testing.assert_array_equal(batch.actions[row, padding:], actions)
        np.testing.assert_array_equal(batch.timesteps[row, padding:], timesteps)
        np.testing.assert_allclose(
            batch.returns_to_go[row, padding:] * normalization.return_scale, returns_to_go, rtol=1e-6
        )


def test_sampling_is_uniform_over_eligible_rows_and_resumable() -> None:
    episodes = make_episodes(steps=700)
    complete = int(episodes.offsets[np.flatnonzero(episodes.complete)[-1] + 1])
    assert 0 < complete < episodes.steps
    windows = Windows(episodes, normalization_of(episodes), CONTEXT, CPU)
    assert torch.equal(windows.start_rows, torch.arange(complete))
    generator = torch.Generator().manual_seed(0)
    drawn = windows.sample(60_000, generator).returns_to_go[:, -1]
    state = generator.get_state()
    following = windows.sample(4, generator)
    generator.set_state(state)
    for first, repeated in zip(following, windows.sample(4, generator), strict=True):
        assert torch.equal(first, repeated)
    every = windows.at(torch.arange(complete)).returns_to_go[:, -1]
    assert abs(float(drawn.mean() - every.mean())) < 4 * float(every.std()) / 60_000**0.5


def test_all_rows_are_sampled_if_all_episodes_are_cut() -> None:
    episodes = make_episodes(steps=20)
    assert not episodes.complete.any()
    windows = Windows(episodes, normalization_of(episodes), CONTEXT, CPU)
    assert len(windows.start_rows) == 20


def test_normalization_standardizes_and_keeps_constants() -> None:
    episodes = make_episodes()
    episodes = episodes.filter(episodes.eligible)
    observations = episodes.observations.copy()
    observations[:, 0] = 7.0
    episodes = replace(episodes, observations=observations)
    normalization = normalization_of(episodes)
    scaled = normalization.observations(torch.as_tensor(observations))
    assert torch.equal(scaled[:, 0], torch.zeros(len(scaled)))
    torch.testing.assert_close(scaled[:, 1:].mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled[:, 1:].std(0), torch.ones(3), atol=1e-3, rtol=0)
    assert normalization.return_scale == episodes.returns_to_go.max()
    no_rewards = replace(episodes, rewards=np.zeros_like(episodes.rewards))
    assert normalization_of(no_rewards).return_scale == 1.0


def test_describe_records_the_data_set() -> None:
    episodes = make_episodes(DISCRETE)
    source = describe(episodes)
    assert (source.env_id, source.dataset_name) == (DISCRETE, "small")
    assert (source.spaces.observation_size, source.spaces.action_size) == (4, 2)
    assert (source.spaces.continuous, source.spaces.max_episode_steps) == (False, 500)
    complete = episodes.returns[episodes.complete]
    assert len(complete) < len(episodes)
    assert source.mean_return == complete.mean()
    assert (source.min_return, source.max_return) == (complete.min(), complete.max())
    assert source.sha256 != describe(make_episodes(DISCRETE, seed=1)).sha256


def with_value(episodes: Episodes, name: str, value: float) -> Episodes:
    array = getattr(episodes, name).copy()
    array[3] = value
    return replace(episodes, **{name: array})


def test_unusable_data_are_rejected() -> None:
    good = make_episodes()
    none = slice(0, 0)
    per_row = ("observations", "actions", "rewards", "terminations", "truncations", "final_observations")
    empty = replace(good, offsets=good.offsets[:1], **{name: getattr(good, name)[none] for name in per_row})
    endless = replace(good, offsets=np.array([0, good.steps]))
    cases = [
        (empty, "empty data set"),
        (with_value(good, "observations", np.nan), "finite observations, got .* in row 3"),
        (with_value(good, "rewards", np.inf), "finite rewards"),
        (with_value(good, "actions", np.nan), "finite actions"),
        (with_value(good, "final_observations", np.nan), "finite final observations, .* of episode 3"),
        (with_value(good, "actions", 1.5), r"actions in Box\(-1.0, 1.0, .*, got \[1.5\] in row 3"),
        (with_value(make_episodes(DISCRETE), "actions", -1), r"actions in Discrete\(2\), .* got -1 in row 3"),
        (replace(make_episodes(DISCRETE), metadata=good.metadata), r"actions of shape \(1500, 1\)"),
        (replace(good, metadata={"env_id": DISCRETE}), r"actions of shape \(1500,\), .*, got \(1500, 1\)"),
        (replace(good, actions=good.actions.astype(int)), "got .0. in row 0"),
        (replace(good, observations=good.observations[:, :3]), r"observations of shape \(1500, 4\)"),
        (replace(good, metadata={}), "with an environment id"),
        (replace(good, metadata={"env_id": "NoSuch-v0"}), "Unknown environment 'NoSuch-v0'"),
        (endless, "at most 500 steps"),
    ]  # fmt: skip
    for episodes, message in cases:
        with pytest.raises(InputError, match=message):
            describe(episodes)


def test_actions_are_normalized_to_minus_one_and_one() -> None:
    backend = make_backend("Pendulum-v1")
    played = backend.play(uniform(), 2, seed=0)
    episodes = replace(played, metadata={"env_id": "Pendulum-v1", "env_kwargs": {}})
    normalization = normalization_of(episodes)
    raw = torch.as_tensor(episodes.actions)
    actions = normalization.actions(raw)
    assert raw.abs().max() > 1.9
    torch.testing.assert_close(actions, raw / 2.0)
    torch.testing.assert_close(normalization.raw_actions(actions), raw)
    choices = torch.arange(2)
    discrete = normalization_of(make_episodes(DISCRETE))
    assert discrete.actions(choices) is discrete.raw_actions(choices) is choices


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_continuous_actions_become_float32(dtype: type) -> None:
    episodes = make_episodes()
    spaces = describe(episodes).spaces
    actions = Normalization.of(episodes, spaces).actions(torch.as_tensor(episodes.actions.astype(dtype)))
    assert actions.dtype == torch.float32


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32])
def test_discrete_actions_become_int64(dtype: type) -> None:
    episodes = make_episodes(DISCRETE)
    actions = normalization_of(episodes).actions(torch.as_tensor(episodes.actions.astype(dtype)))
    assert actions.dtype == torch.int64
    np.testing.assert_array_equal(actions, episodes.actions)


def test_constant_action_components_are_kept() -> None:
    spaces = Spaces(4, 2, True, 500, (-1.0, 3.0), (1.0, 3.0))
    normalization = Normalization.between((0.0,) * 4, (1.0,) * 4, 1.0, spaces)
    actions = normalization.actions(torch.tensor([[0.5, 3.0]]))
    assert torch.equal(actions, torch.tensor([[0.5, 0.0]]))
    assert torch.equal(normalization.raw_actions(torch.tensor([[0.5, 0.7]])), torch.tensor([[0.5, 3.0]]))
