"""The vector Gymnasium environment: the same simulator with one column per environment.

It behaves as ``SyncVectorEnv`` over scalar environments, to the last bit, in all three autoreset modes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from cartpole_phys.batch import begin_episodes, forces_of, step_batch
from cartpole_phys.env import METADATA, Observation, action_space, observation_space
from cartpole_phys.errors import InputError
from cartpole_phys.physics import Params
from cartpole_phys.random_stream import key_from_generator, key_from_seed
from cartpole_phys.simulator import CartPole, observe, start_bounds
from cartpole_phys.snapshot import Snapshot, check_fits
from cartpole_phys.task import Balance

Flags = npt.NDArray[np.bool_]
Seeds = int | Sequence[int | None] | None


def parse_autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    """The autoreset mode for its name.

    Raises:
        InputError: if there is no mode of that name.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        names = ", ".join(str(known.value) for known in AutoresetMode)
        raise InputError(f"Unknown autoreset mode {mode!r}; choose from {names}.") from None


class PhysCartPoleVectorEnv(VectorEnv[Observation, Any, npt.NDArray[Any]]):
    """Many cart-poles at once; see ``PhysCartPoleEnv`` for actions, observations and rewards.

    Arguments beside those of ``PhysCartPoleEnv``: ``num_envs``, ``max_episode_steps`` and
    ``autoreset_mode`` (``"NextStep"``, ``"SameStep"``, ``"Disabled"`` or the enum).
    """

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int = 500,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
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
            InputError: on an unknown integrator, parameter or autoreset mode, or fewer than 1 environment.
        """
        if num_envs < 1:
            raise InputError(f"Expected num_envs of at least 1, got {num_envs}.")
        task = Balance(max_episode_steps=max_episode_steps)
        self.system = CartPole(
            continuous, integrator, Params.from_mapping(params), substeps, push_rate, push_size, task
        )
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = parse_autoreset_mode(autoreset_mode)
        self.metadata = {**METADATA, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = observation_space(task)
        self.single_action_space = action_space(continuous)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._states = np.zeros((4, num_envs))
        self._forces = np.zeros(num_envs)  # N, of the last step
        self._pushes = np.zeros(num_envs)  # N, of the last step
        self._keys: npt.NDArray[np.uint64] | None = None
        self._episodes = np.zeros(num_envs, dtype=np.int64)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._done = np.zeros(num_envs, dtype=np.bool_)
        self._resets_next_step = self.autoreset_mode is AutoresetMode.NEXT_STEP
        self._settings = np.array(
            [self.system.integrator_code, substeps, max_episode_steps, self._resets_next_step], dtype=np.int64
        )
        self._push_law = np.array([self.system.push_probability, push_size])

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start new episodes, everywhere or where ``options["reset_mask"]`` is set.

        Args:
            seed: an int s seeds environment i with s + i; a list gives each its own; None goes on.
            options: ``low`` and ``high`` bound the start states; ``reset_mask`` is a bool array (n,).

        Raises:
            InputError: on a seed list of the wrong length, bad bounds, or a mask that is not a bool
                array of shape (n,) with at least one True.
        """
        bounds, mask = start_bounds(options), self._reset_mask(options)
        seeds = self._seed_list(seed)
        super().reset(seed=None)
        if self._keys is None:
            self._keys = np.array([key_from_generator(self.np_random) for _ in range(self.num_envs)])
            self._episodes[:] = -1
        self._episodes[mask] += 1
        for i, value in enumerate(seeds or ()):
            if value is not None and mask[i]:
                self._keys[i], self._episodes[i] = key_from_seed(value), 0
        self.system.start(self._states, self._keys, self._episodes, mask, bounds)
        self._forces[mask] = self._pushes[mask] = 0.0
        self._elapsed[mask], self._done[mask] = 0, False
        return observe(self._states), {}

    def step(self, actions: Any) -> tuple[Observation, npt.NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Advance every environment by one time step.

        Raises:
            InputError: on actions of the wrong shape or kind, or not finite; no state is touched.
            ResetNeeded: before the first reset, or with autoreset disabled after an episode's end.
        """
        keys = self._check_steppable()
        self._forces = forces_of(self.system, actions, self.num_envs)
        rewards = np.empty(self.num_envs)
        terminated, truncated = np.empty(self.num_envs, np.bool_), np.empty(self.num_envs, np.bool_)
        stepping = ~(self._done & self._resets_next_step) if self.system.push_rate else None
        any_done = step_batch(
            self._states,
            keys,
            self._episodes,
            self._elapsed,
            self._done,
            self._forces,
            self._pushes,
            self.system.params_array,
            self.system.thresholds,
            self._settings,
            self._push_law,
            rewards,
            terminated,
            truncated,
        )
        infos = self._push_infos(stepping) if stepping is not None else {}
        if any_done and self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos = self._end_in_same_step()
        return observe(self._states), rewards, terminated, truncated, infos

    def get_state(self) -> Snapshot:
        """Everything that decides how these environments go on.

        Raises:
            ResetNeeded: before the first reset.
        """
        return Snapshot(
            self.system,
            self._states.copy(),
            self._forces.copy(),
            self._pushes.copy(),
            self._started("keep the state of").copy(),
            self._episodes.copy(),
            self._elapsed.copy(),
            self._done.copy(),
            self.np_random.bit_generator.state,
        )

    def set_state(self, snapshot: Snapshot) -> Observation:
        """Go on from a snapshot, identically, and return the observations there.

        Raises:
            InputError: if it is not a snapshot of equal environments; no state is touched.
        """
        check_fits(snapshot, self.system, self.num_envs)
        self._states, self._keys = snapshot.states.copy(), snapshot.keys.copy()
        self._forces, self._pushes = snapshot.forces.copy(), snapshot.pushes.copy()
        self._episodes, self._elapsed = snapshot.episodes.copy(), snapshot.elapsed.copy()
        self._done = snapshot.done.copy()
        self.np_random.bit_generator.state = dict(snapshot.random_state)
        return observe(self._states)

    def render(self) -> tuple[Any, ...] | None:
        """One image (H, W, 3) of uint8 per environment, or None without a render mode."""
        if self.render_mode is None:
            return None
        from cartpole_phys.render import draw

        return tuple(
            draw(state, force, self.system, push)
            for state, force, push in zip(self._states.T, self._forces, self._pushes, strict=True)
        )

    def _seed_list(self, seed: Seeds) -> Sequence[int | None] | None:
        if seed is None:
            return None
        if isinstance(seed, (int, np.integer)):
            return [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise InputError(f"Expected one seed or {self.num_envs} seeds, got {len(seed)}.")
        return seed

    def _reset_mask(self, options: Mapping[str, Any] | None) -> Flags:
        if not options or "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=np.bool_)
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
            raise InputError(f"Expected reset_mask as a bool array of shape ({self.num_envs},), got {got}.")
        if not mask.any():
            raise InputError("Expected reset_mask with at least one True, got none.")
        return mask

    def _push_infos(self, where: Flags) -> dict[str, Any]:
        """The pushes of the environments ``where`` set, in the form of Gymnasium's vector infos."""
        if not self.system.push_rate or not where.any():
            return {}
        return {"push": np.where(where, self._pushes, 0.0), "_push": where.copy()}

    def _check_steppable(self) -> npt.NDArray[np.uint64]:
        """The environments' keys, once it is clear that they can be stepped."""
        keys = self._started("step")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._done.any():
            raise ResetNeeded(
                f"Environment {int(np.argmax(self._done))} has ended and autoreset is disabled; "
                'call reset(options={"reset_mask": terminated | truncated}) first.'
            )
        return keys

    def _started(self, what: str) -> npt.NDArray[np.uint64]:
        """The keys of the environments' randomness, once there has been a reset."""
        if self._keys is None:
            raise ResetNeeded(f"Cannot {what} an environment that was never reset; call reset() first.")
        return self._keys

    def _end_in_same_step(self) -> dict[str, Any]:
        """Reset what has ended and report the observations and infos that this replaces."""
        ended = self._done.copy()
        infos, final_infos = self._push_infos(~ended), self._push_infos(ended)
        final_observations = np.full(self.num_envs, None, dtype=object)
        observations = observe(self._states)
        for i in np.flatnonzero(ended):
            final_observations[i] = observations[i]
        begin_episodes(
            self._states,
            self._started("step"),
            self._episodes,
            self._elapsed,
            self._forces,
            self._pushes,
            ended,
        )
        self._done[:] = False
        return {
            **infos,
            "final_obs": final_observations,
            "_final_obs": ended,
            "final_info": final_infos,
            "_final_info": ended.copy(),
        }
