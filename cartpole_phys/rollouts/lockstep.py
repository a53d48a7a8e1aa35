"""Closed-loop rollouts of a Python policy: a batch of episodes in lockstep.

The results of a batch depend on its first episode, which keys the policy's generator, and on its size: a
policy draws for the whole batch at once, and the bits of a matrix product depend on its shape. Therefore
``collect`` always runs batches of ``BATCH_SIZE``, and so does ``play`` for at least that many episodes, with
the last batch padded; it plays fewer episodes in one batch of exactly their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cartpole_phys.arguments import DEFAULT_START, Start
from cartpole_phys.batch import Columns, Stepped
from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.rollouts.policy import ActionBatch, Policy
from cartpole_phys.spaces import executed
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array, Flags, FloatArray, IntArray

BATCH_SIZE = 256  # episodes in lockstep; data sets depend on it


class _Recorder:
    """Records the steps of a batch of B episodes, and arranges them in episode order."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Array]] = []  # each array (B, …)

    def add(self, columns: Columns, observations: Array, batch: ActionBatch) -> None:
        """Record observations, actions and states before a step."""
        step = {
            "observations": observations,
            "actions": batch.actions,
            "qpos": columns.states[[0, 2]].T,  # (2, B) -> (B, 2)
            "qvel": columns.states[[1, 3]].T,  # (2, B) -> (B, 2)
        }
        self.steps.append({**step, **{f"infos/{name}": values for name, values in batch.infos.items()}})

    def finish(self, columns: Columns, stepped: Stepped) -> None:
        """Record the results of the step."""
        self.steps[-1].update(
            pushes=columns.pushes.copy(),
            rewards=stepped.rewards,
            terminated=stepped.terminated,
            next_observations=stepped.observations,
        )

    def recording(self, columns: Columns, lengths: IntArray) -> Recording:
        """The recording of the first ``len(lengths)`` episodes of the batch."""
        count = len(lengths)
        played = np.arange(len(self.steps))[None, :] < lengths[:, None]  # (count, T)

        def rows(name: str) -> Array:
            stacked = np.stack([step[name] for step in self.steps], axis=1)  # T × (B, …) -> (B, T, …)
            return stacked[:count][played]  # (B, T, …) -> (N, …)

        last = np.cumsum(lengths) - 1
        return Recording(
            observations=rows("observations"),
            actions=rows("actions"),
            rewards=rows("rewards").astype(np.float32),
            qpos=rows("qpos"),
            qvel=rows("qvel"),
            pushes=rows("pushes"),
            final_observations=rows("next_observations")[last],
            episode_params=columns.params.T[:count],  # (8, B) -> (E, 8)
            lengths=lengths,
            terminated=rows("terminated")[last],
            infos={name.removeprefix("infos/"): rows(name) for name in self.steps[0] if "infos/" in name},
        )


def policy_generator(key: np.uint64, first: int) -> np.random.Generator:
    """The random generator of a Python policy, in a batch whose first episode is ``first``."""
    return np.random.Generator(np.random.Philox(key=np.array([key, first], dtype=np.uint64)))


def run_lockstep(
    system: CartPole,
    policy: Policy,
    key: np.uint64,
    first: int,
    count: int,
    batch_size: int = BATCH_SIZE,
    start: Start = DEFAULT_START,
) -> Episodes:
    """Play episodes ``first`` to ``first + count`` under a Python policy in a batch of ``batch_size``.

    The policy acts for all ``batch_size`` episodes, even if only ``count`` are kept; ``start`` is their start
    distribution. In a finished episode the policy keeps observing the final observation and a reward of 0.
    """
    columns = Columns(system, batch_size)
    columns.keys[:], columns.episodes[:] = key, np.arange(first, first + batch_size)
    columns.begin(start=start)
    policy.begin(batch_size, policy_generator(key, first))
    recorder, lengths = _Recorder(), np.zeros(count, dtype=np.int64)
    observations, rewards = columns.observe(), np.zeros(batch_size)
    over = np.zeros(batch_size, np.bool_)
    for step in range(1, system.task.max_episode_steps + 1):
        chosen = policy.act(observations, rewards)
        actions = executed(system.action_space, chosen.actions, batch_size, over)
        columns.set_actions(actions)
        recorder.add(columns, observations, ActionBatch(actions, chosen.infos))
        stepped = columns.step()
        recorder.finish(columns, stepped)
        observations = np.where(over[:, None], observations, stepped.observations)
        rewards = np.where(over, 0.0, stepped.rewards)
        over |= stepped.terminated | stepped.truncated
        lengths[(lengths == 0) & over[:count]] = step
        if lengths.all():
            break
    return episodes_of(recorder.recording(columns, lengths), system, key, first)


@dataclass(frozen=True, eq=False)
class Recording:
    """N recorded steps in E consecutive episodes of one key; states are those before each step."""

    observations: npt.NDArray[np.float32]  # (N, obs)
    actions: Array  # (N, 1) float32 or (N,) int64
    rewards: npt.NDArray[np.float32]  # (N,)
    qpos: FloatArray  # (N, 2): x (m), θ (rad)
    qvel: FloatArray  # (N, 2): ẋ (m/s), θ̇ (rad/s)
    pushes: FloatArray  # (N,), N
    final_observations: npt.NDArray[np.float32]  # (E, obs)
    episode_params: FloatArray  # (E, 8)
    lengths: IntArray  # (E,)
    terminated: Flags  # (E,)
    infos: Mapping[str, Array] = field(default_factory=dict)  # of the policy, each (N, …)


def episodes_of(recording: Recording, system: CartPole, key: np.uint64, first: int) -> Episodes:
    """The episodes ``first`` to ``first + E`` of a key, with all infos needed for replay."""
    offsets = np.concatenate([[0], np.cumsum(recording.lengths)])
    rows = len(recording.rewards)
    terminations, truncations = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
    terminations[offsets[1:] - 1] = recording.terminated
    truncations[offsets[1:] - 1] = ~recording.terminated
    infos = {
        "qpos": recording.qpos,
        "qvel": recording.qvel,
        "push": recording.pushes,
        CUT: np.zeros(rows, dtype=np.bool_),
        **recording.infos,
    }
    if system.randomize:
        infos["params"] = np.repeat(recording.episode_params, recording.lengths, axis=0)  # (E, 8) -> (N, 8)
    if system.noisy:
        infos["noise_key"] = np.repeat(_stream(key, first, len(recording.lengths)), recording.lengths, axis=0)
    return Episodes(
        observations=recording.observations,
        actions=recording.actions,
        rewards=recording.rewards,
        terminations=terminations,
        truncations=truncations,
        final_observations=recording.final_observations,
        offsets=offsets,
        infos=infos,
    )


def _stream(key: np.uint64, first: int, count: int) -> npt.NDArray[np.uint64]:
    """The RNG key of the observation noise, (E, 2): environment key and episode number."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    return np.stack([np.full(count, key, dtype=np.uint64), numbers], axis=1)  # (E,), (E,) -> (E, 2)
