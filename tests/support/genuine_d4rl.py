"""Small files of random numbers in the exact layouts of D4RL's own data sets.

Sources: Farama-Foundation/D4RL, ``scripts/generation`` and ``d4rl/offline_env.py``; its issue 176 lists the
arrays of a released maze2d file, and tensorflow/datasets, ``d4rl``, those of Adroit and Gym-MuJoCo files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cartpole_phys.utils.typing import Array, Flags

ROWS = 60
Arrays = dict[str, Array]


def _walk(size: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(size).normal(size=(ROWS + 1, size)).cumsum(axis=0).astype(dtype)


def _at(*rows: int) -> Flags:
    flags = np.zeros(ROWS, np.bool_)
    flags[list(rows)] = True
    return flags


def _common(observation: int, action: int, dtype: Any = np.float32) -> Arrays:
    return {
        "observations": _walk(observation, dtype)[:-1],
        "actions": np.tanh(_walk(action)[:-1]),
        "rewards": np.arange(ROWS).astype(dtype),
        "terminals": _at(),
    }


def maze2d() -> Arrays:
    """One trajectory without terminals; ``timeouts`` mark goals, one of them a step after the one before."""
    infos = {f"infos/{name}": _walk(2)[:-1] for name in ("goal", "qpos", "qvel")}
    return {**_common(4, 2), "timeouts": _at(9, 10, 40), **infos}


def antmaze() -> Arrays:
    """Rewards and terminals are float64, and terminals come in runs in the middle of trajectories."""
    runs = np.append(_at(20, 21, 22, 50)[:-1].astype(np.float32), 0)  # float32 and an integer make float64
    assert runs.dtype == np.float64
    infos = {"infos/goal": _walk(2)[:-1], "infos/qpos": _walk(15)[:-1], "infos/qvel": _walk(14)[:-1]}
    return {**_common(29, 8), "rewards": runs, "terminals": runs.copy(), "timeouts": _at(29, 59), **infos}


def kitchen() -> Arrays:
    """No ``timeouts``; terminals are float32 and end every demonstration; ``infos`` is an array itself."""
    infos = np.repeat(np.arange(3), ROWS // 3)
    return {**_common(60, 9), "terminals": _at(19, 39, 59).astype(np.float32), "infos": infos}


def adroit_human() -> Arrays:
    """Every demonstration ends with a timeout."""
    infos = {f"infos/{name}": _walk(30)[:-1] for name in ("qpos", "qvel")}
    return {**_common(39, 28), "timeouts": _at(24, 59), "infos/door_body_pos": _walk(3)[:-1], **infos}


def adroit_cloned() -> Arrays:
    """Everything but actions is float64, and the policy's weights are arrays of other lengths."""
    infos = {f"infos/{name}": _walk(30, np.float64)[:-1] for name in ("qpos", "qvel")}
    policy = {"metadata/policy/fc0/bias": np.zeros(256), "metadata/policy/fc0/weight": np.zeros((39, 256))}
    algorithm = {"metadata/algorithm": np.array(b"BC", "S2")}
    flags = {"terminals": _at(14), "timeouts": _at(44)}
    return {**_common(39, 28, np.float64), **flags, **infos, **policy, **algorithm}


def mujoco() -> Arrays:
    """Version 2 of Gym-MuJoCo: all arrays are present, and the last row has no flag."""
    whole = _walk(11)
    infos = {
        "infos/action_log_probs": _walk(1)[:-1, 0],
        "infos/qpos": _walk(6)[:-1],
        "infos/qvel": _walk(6)[:-1],
    }
    return {
        **_common(11, 3), "observations": whole[:-1], "next_observations": whole[1:],
        "terminals": _at(17), "timeouts": _at(41), "metadata/iteration": np.array(7, np.int32), **infos,
    }  # fmt: skip


def columns() -> Arrays:
    """Rewards and flags as columns (N, 1), which ``OfflineEnv.get_dataset`` accepts."""
    arrays = mujoco()
    column = {name: arrays[name][:, None] for name in ("rewards", "terminals", "timeouts")}
    return {**arrays, **column, "terminals": column["terminals"].astype(np.uint8)}


def without_timeouts() -> Arrays:
    """No ``timeouts``; a next observation that differs from the next row marks an episode's end."""
    arrays = mujoco()
    del arrays["timeouts"]
    arrays["next_observations"] = arrays["next_observations"].copy()
    arrays["next_observations"][41] += 1
    return arrays


LAYOUTS = {
    make.__name__: make
    for make in (maze2d, antmaze, kitchen, adroit_human, adroit_cloned, mujoco, columns, without_timeouts)
}


def write(path: Path, arrays: Arrays, **attributes: Any) -> Path:
    """Write a file as D4RL's scripts do: no attributes, gzip without shuffling."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip" if array.ndim else None)
        file.attrs.update(attributes)
    return path
