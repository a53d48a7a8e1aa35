"""The physical state inside an environment: how it is read, and how it is put back to the last bit.

Classic control keeps positions and velocities in ``state``. MuJoCo's ``mjSTATE_INTEGRATION`` is everything
that its next step depends on, the solver's warm start included; positions and velocities alone are not
enough for equal bits. Other environments have a state that only they know.
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
        """Type and shape of every array that ``read`` gives."""
        ...

    def read(self, env: Any) -> dict[str, FloatArray]:
        """The state as it is now, arrays by name."""
        ...

    def restore(self, env: Any, state: Mapping[str, FloatArray], elapsed: int) -> None:
        """Put a state back, which stood ``elapsed`` steps after a reset."""
        ...

    def observe(self, env: Any) -> Array:
        """What a reset that led to the present state would give."""
        ...


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
        """Set the state, in the type that it had."""
        values = np.empty(self.size)
        values[self.positions], values[self.velocities] = state["qpos"], state["qvel"]
        env.state = values.astype(self.later if elapsed else self.at_first)
        if hasattr(env, "steps_beyond_terminated"):  # CartPole-v1 pays nothing after its first end
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
    """The integration state of a MuJoCo environment, with positions and velocities also by themselves."""

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
        """Copies out of MuJoCo's memory."""
        import mujoco

        state = np.empty(self.size)
        mujoco.mj_getState(env.model, env.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return {"qpos": env.data.qpos.copy(), "qvel": env.data.qvel.copy(), "integration_state": state}

    def restore(self, env: Any, state: Mapping[str, FloatArray], elapsed: int) -> None:
        """Set the integration state; what MuJoCo derives from it stays as the step before left it.

        Some rewards look at derived positions from before a step, which lag behind the state: so rows are
        restored in their order. A reset leaves derived numbers that fit the state, and a warm start that
        their computation would move.
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
    """How the state of an environment is read and restored, or None where that is not known."""
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
