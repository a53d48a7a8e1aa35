"""The training recorder: every step replays bit for bit; partial episodes are marked as cut."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data.checks.schema import expected_arrays
from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.policies.training.envs import CartPoleStateReader
from cartpole_phys.policies.training.recorder import FIRST_CAPACITY, Recorder
from cartpole_phys.policies.training.run import TrainingRecording
from cartpole_phys.sb3 import PhysCartPoleVecEnv
from cartpole_phys.utils.errors import InputError
from tests.support.training_recipes import small_recipe, trained

gym.register_envs(cartpole_phys)

VARIED = {
    "randomize": {"pole_mass": [0.05, 0.2]},
    "observation_noise": 0.01,
    "push_rate": 25.0,
    "push_size": 20.0,
}


def _recorder(num_envs: int, env_id: str = "PhysCartPole-v0", **kwargs: Any) -> Recorder:
    envs: Any = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode="SameStep", **kwargs)
    venv = PhysCartPoleVecEnv(envs)
    recorder = Recorder(venv, CartPoleStateReader(venv))
    recorder.seed(0)
    recorder.reset()
    return recorder


@pytest.mark.parametrize(
    ("algorithm", "env_id", "env_kwargs"),
    [
        ("sac", "PhysCartPole-v0", {}),
        ("sac", "PhysCartPole-v0", VARIED),
        ("sac", "PhysCartPoleSwingUp-v0", VARIED),
        ("ppo", "PhysCartPole-v0", VARIED),
        ("ppo", "PhysCartPoleDiscrete-v0", {}),
        ("ppo", "PhysCartPoleDiscrete-v0", VARIED),
        ("ppo", "PhysCartPoleSwingUp-v0", {}),
    ],
)
def test_every_training_step_replays_bit_for_bit(
    algorithm: str, env_id: str, env_kwargs: dict[str, Any]
) -> None:
    run = trained(small_recipe(algorithm, env_id, env_kwargs=env_kwargs))
    for until in (3, 240, None):
        arrays = run.recording.episodes(until).as_d4rl()
        wrong = make_backend(env_id, env_kwargs).differences(arrays)
        assert not {what: rows for what, rows in wrong.items() if rows.any()}
        assert len(arrays["rewards"]) == (until or 288)
        ends = arrays["terminals"] | arrays["timeouts"]
        assert ends[-1]
        inside = ~ends[:-1]
        np.testing.assert_array_equal(
            arrays["observations"][1:][inside], arrays["next_observations"][:-1][inside]
        )


@pytest.mark.parametrize("env_id", ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0"])
@pytest.mark.parametrize("env_kwargs", [{}, VARIED])
def test_recorded_arrays_are_those_of_a_data_set(env_id: str, env_kwargs: dict[str, Any]) -> None:
    recorder = _recorder(2, env_id, **env_kwargs)
    for _ in range(10):
        recorder.step(np.array([recorder.action_space.sample() for _ in range(2)]))
    arrays = recorder.recording().episodes().as_d4rl()
    found = {name: (array.dtype.str, array.shape[1:]) for name, array in arrays.items()}
    assert found == expected_arrays(make_backend(env_id, env_kwargs))


def test_recording_grows_and_passes_everything_on() -> None:
    recorder, plain = _recorder(2), PhysCartPoleVecEnv(_recorder(2).venv.envs)  # type: ignore[attr-defined]
    plain.seed(0)
    plain.reset()
    generator = np.random.default_rng(0)
    steps = FIRST_CAPACITY + 10
    for _ in range(steps):
        actions = generator.uniform(-1.2, 1.2, (2, 1)).astype(np.float32)
        for got, expected in zip(recorder.step(actions)[:3], plain.step(actions)[:3], strict=True):
            np.testing.assert_array_equal(got, expected)
    episodes = recorder.recording().episodes()
    assert episodes.steps == 2 * steps
    assert np.abs(episodes.actions).max() == 1.0
    wrong = make_backend("PhysCartPole-v0").differences(episodes.as_d4rl())
    assert not any(rows.any() for rows in wrong.values())


def test_recorded_termination_at_the_time_limit_is_a_terminal_only() -> None:
    def first_end(**kwargs: Any) -> Episodes:
        recorder = _recorder(1, **kwargs)
        while not recorder.step(np.ones((1, 1), np.float32))[2].any():
            pass
        return recorder.recording().episodes()

    fallen = first_end()
    for limit, terminal in ((fallen.steps, True), (fallen.steps - 1, False)):
        episodes = first_end(max_episode_steps=limit)
        assert (episodes.steps, episodes.terminations[-1], episodes.truncations[-1]) == (
            limit,
            terminal,
            not terminal,
        )
        assert not episodes.infos[CUT].any()


def _labeled(steps: int, num_envs: int, seed: int) -> TrainingRecording:
    """A recording whose observations encode their step and environment (t, i)."""
    generator = np.random.default_rng(seed)
    labels = np.stack(np.meshgrid(np.arange(steps), np.arange(num_envs), indexing="ij"), axis=2)  # (T, n, 2)
    observations = labels.astype(np.float32)
    ended = generator.random((steps, num_envs)) < 0.2
    fell = generator.random((steps, num_envs)) < 0.5
    return TrainingRecording(
        {
            "observations": observations,
            "actions": labels[:, :, 0],
            "rewards": generator.random((steps, num_envs), dtype=np.float32),
            "terminations": ended & fell,
            "truncations": ended & ~fell,
            "next_observations": observations + np.array([1, 0], np.float32),
        }
    )


@pytest.mark.parametrize("num_envs", [1, 4])
def test_episodes_are_whole_in_order_and_marked_where_cut(num_envs: int) -> None:
    for seed, taken in enumerate((1, 7, 30)):
        recording = _labeled(30, num_envs, seed)
        episodes = recording.episodes(taken * num_envs)
        ended = recording.arrays["terminations"] | recording.arrays["truncations"]
        starts = []
        for episode in episodes:
            times, owners = episode.observations.T.astype(int)  # (T, 2) -> (2, T)
            assert (np.diff(times) == 1).all()
            assert (owners == owners[0]).all()
            assert times[0] == 0 or ended[times[0] - 1, owners[0]]
            assert not ended[times[:-1], owners[0]].any()
            last = times[-1], owners[0]
            assert episode.terminated == recording.arrays["terminations"][last]
            assert episode.truncated == (not episode.terminated)
            np.testing.assert_array_equal(episode.final_observation, [times[-1] + 1, owners[0]])
            starts.append((times[0], owners[0]))
        assert starts == sorted(starts)
        rows = {tuple(row) for row in episodes.observations.tolist()}
        assert len(rows) == episodes.steps == taken * num_envs
        last_rows = episodes.offsets[1:] - 1
        running = ~ended[tuple(episodes.observations[last_rows].T.astype(int))]
        np.testing.assert_array_equal(np.flatnonzero(episodes.infos[CUT]), last_rows[running])


def test_steps_that_were_not_recorded_are_rejected() -> None:
    recording = _labeled(5, 4, 0)
    for until in (0, 3, 21):
        with pytest.raises(InputError, match="Expected 4 to 20 recorded steps"):
            recording.episodes(until)
