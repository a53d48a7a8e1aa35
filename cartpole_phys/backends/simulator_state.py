"""Reading and bit-for-bit restoring the simulator state of Gymnasium environments.

Classic control stores positions and velocities in ``state``. MuJoCo's ``mjSTATE_INTEGRATION`` is the full
input of its next step, including the solver's warm start; positions and velocities alone do not reproduce
the bits. The states of other environments are unknown.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cartpole_phys.backends.base import Layout
from cartpole_phys.backends.make import MUJOCO_MODULE, Env
from cartpole_phys.utils.typing import Array, FloatArray

CLASSIC_MODULE = "gymnasium.envs.classic_control"


class PhysicsState(Protocol):
    """Reads and restores the state of one kind of environment; ``env`` is always the unwrapped one."""

    @property
    def layout(self) -> Layout:
        """Type and shape of every array of ``read``."""

    def read(self, env: Any) -> dict[str, FloatArray]:
        """The current state, arrays by name."""

    def restore(self, env: Any, state: Mapping[str, FloatArray], elapsed: int) -> None:
        """Restore a state that was read ``elapsed`` steps after a reset."""

    def observe(self, env: Any) -> Array:
        """The observation that a reset into the current state would return."""


@dataclass(frozen=True)
class ClassicState:
    """Positions and velocities among the entries of ``env.state``."""

    size: int
    positions: slice
    velocities: slice
    at_first: str = "f8"  # type of the state after a reset, and after a step: some environments change it
    later: str = "f8"

    @property
    def layout(self) -> Layout:
        """``qpos`` and ``qvel``."""
        half = (self.size // 2,)
        return {"qpos": ("<f8", half), "qvel": ("<f8", half)}

    def read(self, env: Any) -> dict[str, FloatArray]:
        """The entries of the state as float64, which holds them exactly."""
        values = np.array(env.state, dtype=np.float64)
        return {"qpos": values[self.positions], "qvel": values[self.velocities]}

    def restore(self, env: Any, state: Mapping[str, FloatArray], elapsed: int) -> None:
        """Set the state, in its original type."""
        values = np.empty(self.size)
        values[self.positions], values[self.velocities] = state["qpos"], state["qvel"]
        env.state = values.astype(self.later if elapsed else self.at_first)
        if hasattr(env, "steps_beyond_terminated"):  # CartPole-v1 rewards no step after termination
            env.steps_beyond_terminated = None

    def observe(self, env: Any) -> Array:
        """The environment's own observation, or the state where that is observed."""
        for name in ("_get_obs", "_get_ob"):
            if hasattr(env, name):
                observation: Array = getattr(env, name)()
                return observation
        return np.array(env.state)


PAIRS = slice(None, None, 2), slice(1, None, 2)  # a position, its velocity, the next position, …
CLASSIC: Mapping[str, ClassicState] = {
    "PendulumEnv": ClassicState(2, *PAIRS),
    "CartPoleEnv": ClassicState(4, *PAIRS),
    "AcrobotEnv": ClassicState(4, slice(2), slice(2, 4), at_first="f4"),
    "MountainCarEnv": ClassicState(2, *PAIRS),
    "Continuous_MountainCarEnv": ClassicState(2, *PAIRS, later="f4"),
}


@dataclass(frozen=True)
class MujocoState:
    """The integration state of a MuJoCo environment, with separate copies of positions and velocities."""

    positions: int
    velocities: int
    size: int  # of the integration state

    @property
    def layout(self) -> Layout:
        """``qpos``, ``qvel`` and ``integration_state``."""
        return {
            "qpos": ("<f8", (self.positions,)),
            "qvel": ("<f8", (self.velocities,)),
            "integration_state": ("<f8", (self.size,)),
        }

    def read(self, env: Any) -> dict[str, FloatArray]:
        """Copies of MuJoCo's arrays."""
        import mujoco

        state = np.empty(self.size)
        mujoco.mj_getState(env.model, env.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return {"qpos": env.data.qpos.copy(), "qvel": env.data.qvel.copy(), "integration_state": state}

    def restore(self, env: Any, state: Mapping[str, FloatArray], elapsed: int) -> None:
        """Set the integration state; quantities that MuJoCo derives keep their values from the previous step.

        Some rewards use derived positions from before a step, which lag behind the state; therefore rows are
        restored in order. After a reset, derived quantities match the state, but computing them changes the
        warm start, so the state is set again.
        """
        import mujoco

        whole = np.ascontiguousarray(state["integration_state"])
        mujoco.mj_setState(env.model, env.data, whole, mujoco.mjtState.mjSTATE_INTEGRATION)
        if not elapsed:
            mujoco.mj_forward(env.model, env.data)
            mujoco.mj_setState(env.model, env.data, whole, mujoco.mjtState.mjSTATE_INTEGRATION)

    def observe(self, env: Any) -> Array:
        """The environment's own observation."""
        observation: Array = env._get_obs()
        return observation


def physics_state_of(env: Env) -> PhysicsState | None:
    """The ``PhysicsState`` of an environment, or None if its state is unknown."""
    bare: Any = env.unwrapped
    kind = type(bare)
    if kind.__module__.startswith(CLASSIC_MODULE) and kind.__name__ in CLASSIC:
        return CLASSIC[kind.__name__]
    module: Any = sys.modules.get(f"{MUJOCO_MODULE}.mujoco_env")
    if module is None or not isinstance(bare, module.MujocoEnv):
        return None
    import mujoco

    size = mujoco.mj_stateSize(bare.model, mujoco.mjtState.mjSTATE_INTEGRATION)
    return MujocoState(bare.model.nq, bare.model.nv, size)
