"""Independent replay of stored steps with the scalar environment, through its public methods.

Unlike the compiled replay, it does not share its step with the rollouts that produced the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import gymnasium as gym
import numpy as np

from cartpole_phys.backends.base import NotReplayable, changed_next, different, elapsed, followed
from cartpole_phys.backends.native_replay import states_of, wrong_params, wrong_starts
from cartpole_phys.env import PhysCartPoleEnv
from cartpole_phys.kernels import layout as m
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, Flags, FloatArray


def scalar_differences(
    env_id: str, env_kwargs: Mapping[str, Any], system: CartPole, rows: Mapping[str, Array]
) -> dict[str, Flags]:
    """As ``native_replay.native_differences``, by ``set_state`` and ``step`` of one environment.

    Raises:
        NotReplayable: on an action that the environment refuses.
    """
    # An environment that draws pushes would draw over the stored one.
    env = cast(PhysCartPoleEnv, gym.make(env_id, **{**env_kwargs, "push_rate": 0.0}).unwrapped)
    env.reset(seed=0)
    start, within, states = env.get_state(), followed(rows), states_of(rows)
    steps = elapsed(within)
    memories = _memories(start.memory[:, 0], rows, steps)
    seen, next_seen = np.empty_like(rows["observations"]), np.empty_like(rows["observations"])
    next_states, rewards = np.empty_like(states), np.empty_like(rows["rewards"])
    terminated = np.empty(len(within), dtype=np.bool_)
    for row, memory in enumerate(memories):
        seen[row] = env.set_state(replace(start, memory=memory[:, None]))  # (ROWS,) -> (ROWS, 1)
        try:
            next_seen[row], rewards[row], terminated[row], _, _ = env.step(rows["actions"][row])
        except InputError as error:
            raise NotReplayable(str(error)) from error
        next_states[row] = env.state
    found = {
        "start state": wrong_starts(steps == 0, states),
        "observation": (steps == 0) & different(seen, rows["observations"]),
        "next state": changed_next(within, next_states, states),
        "next observation": different(next_seen, rows["next_observations"]),
        "reward": different(rewards, rows["rewards"]),
        "terminal flag": terminated != rows["terminals"],
    }
    return {**wrong_params(system, within, rows), **found}


def _memories(start: FloatArray, rows: Mapping[str, Array], steps: Array) -> FloatArray:
    """What the environment remembers before each step, (N, ROWS), from one of its memories (ROWS,)."""
    memories = np.repeat(start[None, :], len(steps), axis=0)  # (ROWS,) -> (N, ROWS)
    memories[:, :4], memories[:, m.PUSH] = states_of(rows), rows["infos/push"]
    counters, keys = memories.view(np.int64), memories.view(np.uint64)
    counters[:, m.ELAPSED], counters[:, m.DONE] = steps, 0
    if "infos/params" in rows:
        memories[:, m.PARAMS :] = rows["infos/params"]
    if "infos/noise_key" in rows:
        keys[:, m.KEY], keys[:, m.EPISODE] = rows["infos/noise_key"].T  # (N, 2) -> (2, N)
    return memories
