"""From the rows of a rollout to episodes with their infos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.memory import FloatArray
from cartpole_phys.system import CartPole

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Recording:
    """N steps in E consecutive episodes of one key, each row as it was before its step."""

    observations: npt.NDArray[np.float32]  # (N, obs)
    actions: Array  # (N, 1) float32 or (N,) int64
    rewards: npt.NDArray[np.float32]  # (N,)
    qpos: FloatArray  # (N, 2): x (m), θ (rad)
    qvel: FloatArray  # (N, 2): ẋ (m/s), θ̇ (rad/s)
    pushes: FloatArray  # (N,), N
    final_observations: npt.NDArray[np.float32]  # (E, obs)
    episode_params: FloatArray  # (E, 8)
    lengths: npt.NDArray[np.int64]  # (E,)
    fallen: npt.NDArray[np.bool_]  # (E,)
    infos: Mapping[str, Array] = field(default_factory=dict)  # of the policy, each (N, …)


def episodes_of(recording: Recording, system: CartPole, key: np.uint64, first: int) -> Episodes:
    """The episodes ``first`` to ``first + E`` of a key, with everything that their replay needs."""
    offsets = np.concatenate([[0], np.cumsum(recording.lengths)])
    rows = len(recording.rewards)
    terminations, truncations = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
    terminations[offsets[1:] - 1] = recording.fallen
    truncations[offsets[1:] - 1] = ~recording.fallen
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
    """What the sensors' errors are drawn from, (E, 2): key and episode number."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    return np.stack([np.full(count, key, dtype=np.uint64), numbers], axis=1)  # (E,), (E,) -> (E, 2)
