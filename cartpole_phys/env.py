"""The scalar Gymnasium environment: a thin wrapper of the compiled step of one environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy import empty  # by name: spares an attribute look-up in every step

from cartpole_phys.arguments import NoPhysicsAttributes, parse_seeds, parse_start
from cartpole_phys.batch import Columns, Snapshot, restore_snapshot, take_snapshot
from cartpole_phys.numeric.philox import key_from_generator
from cartpole_phys.physics import Params
from cartpole_phys.spaces import action_space, executed, observation_space
from cartpole_phys.system import TIME_STEP, Arguments, CartPole
from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray, Observations

FLOAT32 = np.dtype(np.float32)
RENDER_MODES = ("human", "rgb_array")
METADATA: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 50}


def check_render_mode(mode: Any, modes: Sequence[str]) -> str | None:
    """Check and return a render mode.

    Raises:
        InputError: unless it is one of ``modes`` or None.
    """
    if mode is not None and mode not in modes:
        raise unknown("render_mode", mode, modes, ", or None")
    return None if mode is None else str(mode)


def frames_per_second(system: CartPole) -> int:
    """Frames per second of real time at one frame per step."""
    return max(1, round(1.0 / system.params.time_step))


def changed_params(current: Params, wanted: Any, system: CartPole) -> Params:
    """The parameters ``wanted``: a full ``Params``, or names and numbers that replace those of ``current``.

    Raises:
        InputError: on an unknown name, a number out of its range, or another time step than the system's.
    """
    params = wanted if isinstance(wanted, Params) else current.changed(wanted)
    if params.time_step != system.params.time_step:
        raise InputError(
            f"Expected the time step of {system.params.time_step:g} s that the environment was made with, "
            f"got {params.time_step:g}; make another environment for another {TIME_STEP}."
        )
    return params


class PhysCartPoleEnv(NoPhysicsAttributes, gym.Env[Observations, Any]):
    """A pole on a cart, balanced by pushing the cart.

    ## Description
    The cart-pole of Barto, Sutton and Anderson (1983) with the equations of motion from its Lagrangian,
    integrated with semi-implicit Euler by default; see docs/environment.md.

    ## Action
    ``PhysCartPole-v0``: ``Box(-1, 1, (1,), float32)``, times ``force_mag`` newtons; finite values out of
    range are clipped. ``PhysCartPoleSwingUp-v0``: the same. ``PhysCartPoleDiscrete-v0``: ``Discrete(2)``,
    full force to the left or right.

    ## Observations
    ``Box(4)``, float32: cart position x (m), velocity ẋ (m/s), pole angle θ (rad, 0 is upright), θ̇ (rad/s).
    Swing-up: ``Box(5)`` of x, ẋ, cosθ, sinθ, θ̇.

    ## Rewards
    1 for every step, including the terminating one. Swing-up: in [0, 1], see ``tasks.swing_up``.

    ## Starting State
    Each variable uniform in ±0.05 about rest, upright or (swing-up) hanging;
    ``reset(options={"low": …, "high": …})`` chooses other bounds, ``{"state": (x, ẋ, θ, θ̇)}`` a state.

    ## Episode End
    Terminates when |x| > 2.4 m or, except in the swing-up, |θ| > 12°; truncates after 500 steps.

    ## Arguments
    * ``integrator``: ``"semi_implicit_euler"`` (default), ``"euler"``, which is CartPole-v1's,
      ``"symplectic_euler"`` or ``"rk4"``; see ``cartpole_phys.kernels.integrators`` for how to choose.
    * ``params``: physical parameters by name, for example ``{"pole_mass": 0.2}``; see ``physics.Params``.
    * ``substeps``: integration steps per time step, 1 by default.
    * ``push_rate``: random pushes on the cart per second, 0 by default; ``info["push"]`` is the push in N.
    * ``push_size``: the largest push, 10 N by default; pushes are uniform in ± this and last one step.
    * ``randomize``: parameters drawn for each episode, uniform between two bounds, for example
      ``{"pole_mass": [0.05, 0.2]}``; ``info["params"]`` has all eight, in the order of ``physics.Params``.
    * ``observation_noise``: half-width of uniform observation noise, one number for all of x, ẋ, θ, θ̇ or
      four (m, m/s, rad, rad/s); 0 by default. It does not affect state, reward or termination.
    * ``diagnostics``: whether infos hold ``energy`` (J) and the margins to the termination thresholds,
      ``x_margin`` (m) and ``theta_margin`` (rad, not in the swing-up), negative beyond; False by default.
    * ``render_mode``: ``None``, ``"human"``, a window in real time, or ``"rgb_array"``; see
      ``rendering.draw``.

    ## Version History
    * v0: first release.
    """

    metadata: dict[str, Any] = METADATA

    def __init__(
        self,
        task: str = "balance",
        continuous: bool = True,
        render_mode: str | None = None,
        **arguments: Unpack[Arguments],
    ) -> None:
        """See the class for the arguments; ``task`` is one of ``tasks.TASKS``.

        Raises:
            UnexpectedArgumentError: on an unknown argument, an ``InputError`` and a ``TypeError``.
            InputError: on an unknown render mode, or a value out of range.
        """
        self._set_up(CartPole.from_arguments(task, continuous, arguments), render_mode)

    @classmethod
    def from_system(cls, system: CartPole, render_mode: str | None = None) -> PhysCartPoleEnv:
        """Create an environment from an already validated system."""
        env = cls.__new__(cls)
        env._set_up(system, render_mode)
        return env

    def _set_up(self, system: CartPole, render_mode: str | None) -> None:
        self.system = system
        self.render_mode = check_render_mode(render_mode, RENDER_MODES)
        self.metadata = {"render_modes": list(RENDER_MODES), "render_fps": frames_per_second(system)}
        self.observation_space = observation_space(system.task)
        self.action_space: spaces.Space[Any] = action_space(system.continuous)
        self.columns = Columns(system, 1)
        self._memory, self._settings = self.columns.memory, self.columns.settings
        self._shape = (system.task.observation_size,)
        self._normalize = self._normalize_continuous if system.continuous else self._normalize_discrete
        self._steps_only = not system.has_infos and render_mode != "human"
        self._started = False
        self._window: Any = None

    @property
    def state(self) -> FloatArray:
        """The state without noise: x (m), ẋ (m/s), θ (rad), θ̇ (rad/s), a copy of shape (4,)."""
        return self.columns.states[:, 0].copy()

    @property
    def params(self) -> Params:
        """The physical parameters of the current episode; assign names and numbers, or a full ``Params``.

        Assigned values persist in later episodes, except for randomized parameters.

        Raises:
            InputError: on an unknown name, a number out of its range, or another time step.
        """
        return self.columns.params_of(0)

    @params.setter
    def params(self, wanted: Params | Mapping[str, float]) -> None:
        self.columns.set_params([changed_params(self.params, wanted, self.system)])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Start the next episode; with a seed, episode 0 of that seed.

        Args:
            seed: random seed of this and all later episodes.
            options: ``low`` and ``high`` bound the start variables; ``state`` is (x, ẋ, θ, θ̇).

        Raises:
            InputError: on a seed that is not an integer of at least 0, an unknown option, bounds that are not
                finite numbers with low ≤ high, or a state that is not four; the state is unchanged.
        """
        start = parse_start(options, 1)
        if seed is not None:
            (seed,) = parse_seeds([seed], 1)
        super().reset(seed=seed)
        columns = self.columns
        if seed is not None or not self._started:
            columns.keys[0], columns.episodes[0] = key_from_generator(self.np_random), -1
            self._started = True
        observation = empty(self._shape, FLOAT32)
        columns.begin_one(self._memory, self._settings, start.low, start.high, observation)
        if start.states is not None:
            columns.states[:] = start.states
            observation = columns.observe()[0]
        if self._steps_only:
            return observation, {}
        return observation, self._render_and_infos(stepped=False)

    def step(self, action: Any) -> tuple[Observations, float, bool, bool, dict[str, Any]]:
        """Advance by one time step, with the action's force held constant.

        Raises:
            InputError: on an action of the wrong shape or kind, or not finite; the state is unchanged.
            ResetNeeded: before the first reset.
        """
        if not self._started:
            raise _reset_needed("step")
        normalized = self._normalize(action)
        observation = empty(self._shape, FLOAT32)
        reward, terminated = self.columns.step_one(self._memory, self._settings, normalized, observation)
        if self._steps_only:
            return observation, reward, terminated, False, {}
        return observation, reward, terminated, False, self._render_and_infos(stepped=True)

    def _normalize_continuous(self, action: Any) -> float:
        """The normalized action in [−1, 1], with a fast path for float32 arrays."""
        if type(action) is np.ndarray and action.shape == (1,) and action.dtype == FLOAT32:
            normalized = float(action[0])
            if -1.0 <= normalized <= 1.0:
                return normalized
        return float(executed(self.system.action_space, action, None)[0])

    def _normalize_discrete(self, action: Any) -> float:
        """The normalized action −1 or 1 of a discrete action 0 or 1, with a fast path for integers."""
        if type(action) in (int, np.int64) and 0 <= action <= 1:
            return 1.0 if action else -1.0
        return 2.0 * float(executed(self.system.action_space, action, None)) - 1.0

    def _render_and_infos(self, stepped: bool) -> dict[str, Any]:
        """Render in human mode, and return the info of a step or a reset."""
        if self.render_mode == "human":
            self.render()
        infos = self.columns.infos(stepped)
        return {name: values[0] if values.ndim > 1 else float(values[0]) for name, values in infos.items()}

    def get_state(self) -> Snapshot:
        """A snapshot of the full state, including the random state but not the time limit of a wrapper.

        Raises:
            ResetNeeded: before the first reset.
        """
        if not self._started:
            raise _reset_needed("keep the state of")
        return take_snapshot(self.columns, self.np_random)

    def set_state(self, snapshot: Snapshot) -> Observations:
        """Restore a snapshot, to continue identically, and return the observation.

        Raises:
            InputError: if it is not a snapshot of an equal environment; the state is unchanged.
        """
        restore_snapshot(snapshot, self.columns, self.np_random)
        self._started = True
        return self.columns.observe()[0]

    def render(self) -> Any:
        """Render the current state: an image (H, W, 3) of uint8, or None in human mode.

        Raises:
            DependencyNotInstalled: without pygame.
            InputError: if no window can be opened.
            ResetNeeded: before the first reset.
        """
        if self.render_mode is None:
            gym.logger.warn('Cannot render without a render mode; pass render_mode="rgb_array" to gym.make.')
            return None
        if not self._started:
            raise _reset_needed("render")
        from cartpole_phys.rendering.draw import draw
        from cartpole_phys.rendering.window import Window

        frame = draw(self.columns, 0)
        if self.render_mode == "rgb_array":
            return frame
        self._window = self._window or Window(self.metadata["render_fps"])
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Close the window, if one is open; rendering again opens another."""
        if self._window is not None:
            self._window.close()
            self._window = None


def _reset_needed(what: str) -> ResetNeeded:
    return ResetNeeded(f"Cannot {what} an environment that was never reset; call reset() first.")
