"""Checkpoint policies: closed-loop actions, return-to-go, targets and evaluation."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.rollouts.collect import play
from cartpole_phys.rollouts.policy import ActionBatch
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from dt.attention.maps import rollout_windows
from dt.data.windows import Batch
from dt.models.history import HistoryModel
from dt.policy import CheckpointPolicy, load
from dt.scores import default_targets, evaluate
from dt.training.checkpoint import Checkpoint
from dt.training.loop import train
from tests.support.small_models import CONTEXT, CONTINUOUS, DISCRETE, make_episodes, small_recipe

GENERATOR = np.random.default_rng(0)


def trained_on(env_id: str, kind: str = "decision") -> Checkpoint:
    return train(make_episodes(env_id), small_recipe(kind, steps=30))


@pytest.mark.parametrize("env_id", [CONTINUOUS, DISCRETE])
def test_closed_loop_actions_equal_predictions_from_the_recorded_history(env_id: str) -> None:
    checkpoint, target, length = trained_on(env_id), 300.0, CONTEXT + 4
    episodes = play(CartPole.from_id(env_id), load(checkpoint, target), 3, seed=0)
    for episode in episodes:
        for step in range(min(length, len(episode.rewards))):
            steps = slice(max(0, step - CONTEXT + 1), step + 1)
            actions = episode.actions[steps].copy()
            actions[-1] = 0  # not yet chosen
            targets = target - np.concatenate([[0.0], np.cumsum(episode.rewards)])[:-1]
            history = Batch(
                checkpoint.normalization.observations(torch.as_tensor(episode.observations[steps])[None]),
                torch.as_tensor(actions)[None],
                checkpoint.normalization.returns(torch.as_tensor(targets[steps])[None]),
                torch.arange(steps.start, steps.stop)[None],
                torch.ones(1, steps.stop - steps.start, dtype=torch.bool),
            )
            assert isinstance(checkpoint.model, HistoryModel)
            predicted = checkpoint.model.act(history)[0].detach().numpy()
            np.testing.assert_allclose(predicted, episode.actions[step], atol=1e-6)


def actions_of(
    policy: CheckpointPolicy, observations: npt.NDArray[np.float32], reward: float
) -> list[ActionBatch]:
    """Return the actions for observations (T, B, obs) with a constant reward."""
    policy.begin(observations.shape[1], GENERATOR)
    rewards = np.zeros(observations.shape[1])
    return [policy.act(now, rewards + (reward if step else 0.0)) for step, now in enumerate(observations)]


def test_return_to_go_decreases_by_rewards_and_resets() -> None:
    checkpoint = trained_on(CONTINUOUS)
    observations = np.random.default_rng(0).normal(size=(7, 2, 4)).astype(np.float32)
    policy = load(checkpoint, 300.0)
    first = actions_of(policy, observations, 1.0)
    for one, repeated in zip(first, actions_of(policy, observations, 1.0), strict=True):
        np.testing.assert_array_equal(one.actions, repeated.actions)
    assert first[0].actions.shape == (2, 1)
    assert first[0].actions.dtype == np.float32
    other = actions_of(policy, observations, 50.0)
    np.testing.assert_array_equal(first[0].actions, other[0].actions)
    assert (first[1].actions != other[1].actions).all()
    assert (actions_of(load(checkpoint, 10.0), observations, 1.0)[0].actions != first[0].actions).all()


def test_later_observations_do_not_change_earlier_actions() -> None:
    policy = load(trained_on(CONTINUOUS))
    observations = np.random.default_rng(0).normal(size=(7, 2, 4)).astype(np.float32)
    before = actions_of(policy, observations, 1.0)
    observations[4:] += 1.0
    after = actions_of(policy, observations, 1.0)
    for one, other in zip(before[:4], after[:4], strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
    assert (before[4].actions != after[4].actions).all()


def test_default_target_is_the_highest_return() -> None:
    checkpoint = trained_on(CONTINUOUS)
    assert load(checkpoint).target == checkpoint.source.max_return
    for target in (np.nan, np.inf, 1e39, -1e25):
        with pytest.raises(InputError, match="finite target return"):
            load(checkpoint, target)


def test_episodes_longer_than_the_timestep_embedding_are_rejected() -> None:
    checkpoint = trained_on(CONTINUOUS)
    short = replace(checkpoint.source, spaces=replace(checkpoint.source.spaces, max_episode_steps=3))
    policy = load(replace(checkpoint, source=short))
    with pytest.raises(InputError, match="at most 3 steps"):
        actions_of(policy, np.zeros((4, 1, 4), dtype=np.float32), 1.0)


def test_environments_with_other_observations_are_rejected() -> None:
    policy = load(trained_on(CONTINUOUS))
    with pytest.raises(InputError, match=r"observations of 4 numbers, as in training, got \(3,\)"):
        make_backend("Pendulum-v1").play(policy, 2, 0)


def test_evaluation_uses_the_same_start_states_for_all_targets() -> None:
    checkpoint = trained_on(CONTINUOUS)
    targets = default_targets(checkpoint)
    assert (targets[0], targets[-1]) == (checkpoint.source.mean_return, checkpoint.source.max_return)
    results = evaluate(checkpoint, [100.0, 100.0], episodes=4, seed=1)
    assert results[0] == results[1]
    low, score, high = results[0].score_low, results[0].score, results[0].score_high
    assert low is not None
    assert score is not None
    assert high is not None
    assert low <= score <= high
    returns = play(CartPole.from_id(CONTINUOUS), load(checkpoint, 100.0), 4, seed=1).returns
    assert results[0].mean_return == returns.mean()
    with pytest.raises(InputError, match="seed as an integer of at least 0"):
        evaluate(checkpoint, [None], seed=-1)


def test_scores_are_none_without_reference_returns() -> None:
    """For imported checkpoints without data statistics, in environments without reference returns."""
    checkpoint = trained_on(DISCRETE)
    unknown = replace(checkpoint.source, env_id="CartPole-v1", mean_return=math.nan, max_return=math.nan)
    (result,) = evaluate(replace(checkpoint, source=unknown), [100.0], episodes=3)
    assert result.return_low <= result.mean_return <= result.return_high
    assert (result.score, result.score_low, result.score_high) == (None, None, None)
    with pytest.raises(InputError, match="got none; add --target"):
        rollout_windows(replace(checkpoint, source=unknown), 1, 0)


def test_behavior_cloning_has_no_target() -> None:
    checkpoint = trained_on(DISCRETE, "bc")
    assert default_targets(checkpoint) == [None]
    assert evaluate(checkpoint, [None], episodes=2)[0].target is None
