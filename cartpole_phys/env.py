"""The scalar Gymnasium environment: a thin view of the simulator with one column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from cartpole_phys.batch import force_of, step_one
from cartpole_phys.physics import Params
from cartpole_phys.random_stream import key_from_generator
from cartpole_phys.simulator import CartPole, observe, start_bounds
from cartpole_phys.snapshot import Snapshot, check_fits
from cartpole_phys.task import REWARD, Balance

Observation = npt.NDArray[np.float32]
METADATA = {"render_modes": ["rgb_array"], "render_fps": 50}


def observation_space(task: Balance) -> spaces.Space[Any]:
    """Position (m), velocity (m/s), angle (rad) and its rate (rad/s), to twice where an episode ends."""
    largest = np.finfo(np.float32).max
    high = np.array([2 * task.x_threshold, largest, 2 * task.theta_threshold, largest], dtype=np.float32)
    return spaces.Box(-high, high, dtype=np.float32)


def action_space(continuous: bool) -> spaces.Space[Any]:
    """A share of the full force in [−1, 1], or 0 (full force to the left) and 1 (to the right)."""
    return spaces.Box(-1.0, 1.0, (1,), np.float32) if continuous else spaces.Discrete(2)


class PhysCartPoleEnv(gym.Env[Observation, Any]):
    """A pole on a cart, balanced by pushing the cart.

    ## Description
    The cart-pole of Barto, Sutton and Anderson (1983) with the equations of motion from its Lagrangian,
    integrated with semi-implicit Euler by default.

    ## Action
    ``PhysCartPole-v0``: ``Box(-1, 1, (1,), float32)``, times ``force_mag`` newtons; finite values out of
    range are clipped. ``PhysCartPoleDiscrete-v0``: ``Discrete(2)``, full force to the left or right.

    ## Observation
    ``Box(4)``, float32: cart position x (m), velocity ẋ (m/s), pole angle θ (rad, 0 is upright), θ̇ (rad/s).

    ## Rewards
    1 for every step, the one that ends the episode included.

    ## Starting State
    Each variable uniform in ±0.05; ``reset(options={"low": …, "high": …})`` chooses other bounds.

    ## Episode End
    Terminates when |x| > 2.4 m or |θ| > 12°; truncates after 500 steps.

    ## Arguments
    * ``integrator``: ``"semi_implicit_euler"`` (default), ``"euler"``, which is CartPole-v1's,
      ``"symplectic_euler"`` or ``"rk4"``; ``cartpole_phys.integrators`` says which to use when.
    * ``substeps``: steps of integration to a time step, 1 by default.
    * ``push_rate``: random pushes on the cart a second, 0 by default; ``info["push"]`` has each step's, in N.
    * ``push_size``: the largest push, 10 N by default; pushes are uniform in ± this and last one step.
    * ``params``: physical parameters by name, for example ``{"pole_mass": 0.2}``; see ``physics.Params``.
    * ``render_mode``: ``None`` or ``"rgb_array"``.

    ## Version History
    * v0: first release.
    """

    metadata: dict[str, Any] = METADATA

    def __init__(
        self,
        continuous: bool = True,
        integrator: str = "semi_implicit_euler",
        params: Mapping[str, float] | None = None,
        substeps: int = 1,
        push_rate: float = 0.0,
        push_size: float = 10.0,
        render_mode: str | None = None,
    ) -> None:
        """See the class for the arguments.

        Raises:
            InputError: on an unknown integrator or parameter, or a parameter that is not above 0.
        """
        self.system = CartPole(
            continuous, integrator, Params.from_mapping(params), substeps, push_rate, push_size
        )
        self.render_mode = render_mode
        self.observation_space = observation_space(self.system.task)
        self.action_space = action_space(continuous)
        self._states = np.zeros((4, 1))
        self._keys: npt.NDArray[np.uint64] | None = None  # (1,), None before the first reset
        self._episodes = np.zeros(1, dtype=np.int64)
        self._elapsed = np.zeros(1, dtype=np.int64)  # steps of the episode so far
        self._forces = np.zeros(1)  # N, of the last step
        self._pushes = np.zeros(1)  # N, of the last step

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the next episode; with a seed, episode 0 of that seed.

        Raises:
            InputError: if ``options`` holds bounds that are not finite numbers with low ≤ high.
        """
        bounds = start_bounds(options)
        super().reset(seed=seed)
        if seed is not None or self._keys is None:
            self._keys = np.array([key_from_generator(self.np_random)], dtype=np.uint64)
            self._episodes[:] = 0
        else:
            self._episodes += 1
        self._elapsed[:] = 0
        self._forces[:] = self._pushes[:] = 0.0
        self.system.start(self._states, self._keys, self._episodes, bounds=bounds)
        return observe(self._states)[0], {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold the action's force for one time step.

        Raises:
            InputError: on an action of the wrong shape or kind, or not finite; the state is untouched.
            ResetNeeded: before the first reset.
        """
        keys = self._started("step")
        system = self.system
        force = force_of(system, action)
        self._forces[0] = force
        info: dict[str, Any] = {}
        if system.push_rate:
            self._pushes = system.pushes(keys, self._episodes, self._elapsed)
            info["push"] = float(self._pushes[0])
            force += info["push"]
        observation = np.empty(4, dtype=np.float32)
        fallen = step_one(
            self._states,
            force,
            system.params_array,
            system.thresholds,
            system.integrator_code,
            system.substeps,
            observation,
        )
        self._elapsed[0] += 1
        return observation, REWARD, fallen, False, info

    def get_state(self) -> Snapshot:
        """Everything that decides how this environment goes on; the time limit of a wrapper is not in it.

        Raises:
            ResetNeeded: before the first reset.
        """
        keys = self._started("keep the state of")
        return Snapshot(
            self.system,
            self._states.copy(),
            self._forces.copy(),
            self._pushes.copy(),
            keys.copy(),
            self._episodes.copy(),
            self._elapsed.copy(),
            np.zeros(1, dtype=np.bool_),
            self.np_random.bit_generator.state,
        )

    def set_state(self, snapshot: Snapshot) -> Observation:
        """Go on from a snapshot, identically, and return the observation there.

        Raises:
            InputError: if it is not a snapshot of an equal environment; the state is untouched.
        """
        check_fits(snapshot, self.system, 1)
        self._states, self._keys = snapshot.states.copy(), snapshot.keys.copy()
        self._forces, self._pushes = snapshot.forces.copy(), snapshot.pushes.copy()
        self._episodes, self._elapsed = snapshot.episodes.copy(), snapshot.elapsed.copy()
        self.np_random.bit_generator.state = dict(snapshot.random_state)
        return observe(self._states)[0]

    def _started(self, what: str) -> npt.NDArray[np.uint64]:
        """The key of this environment's randomness, once there has been a reset."""
        if self._keys is None:
            raise ResetNeeded(f"Cannot {what} an environment that was never reset; call reset() first.")
        return self._keys

    def render(self) -> Any:
        """The current state as an image (H, W, 3) of uint8, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn('Cannot render without a render mode; pass render_mode="rgb_array" to gym.make.')
            return None
        self._started("render")
        from cartpole_phys.render import draw

        return draw(self._states[:, 0], float(self._forces[0]), self.system, float(self._pushes[0]))
