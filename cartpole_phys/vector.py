"""The vector Gymnasium environment: a thin wrapper of the compiled step of many environments.

It equals ``SyncVectorEnv`` over scalar environments bit for bit, in all three autoreset modes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Unpack

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from cartpole_phys.arguments import (
    NO_LIMIT,
    VECTOR_OPTIONS,
    NoPhysicsAttributes,
    Seeds,
    json_value,
    parse_autoreset_mode,
    parse_limit,
    parse_mask,
    parse_params,
    parse_seeds,
    parse_start,
    single_env_spec,
)
from cartpole_phys.batch import Columns, Snapshot, Stepped, restore_snapshot, take_snapshot
from cartpole_phys.env import (
    METADATA,
    RENDER_MODES,
    PhysCartPoleEnv,
    changed_params,
    check_render_mode,
    frames_per_second,
)
from cartpole_phys.numeric.philox import keys_from_generator
from cartpole_phys.numeric.seed_keys import keys_from_seeds
from cartpole_phys.spaces import action_space, observation_space
from cartpole_phys.system import Arguments, CartPole
from cartpole_phys.utils.errors import InputError, is_integer
from cartpole_phys.utils.typing import Array, Flags, FloatArray, Observations

NO_SEED = -1  # Gymnasium's value for an unknown seed
VECTOR_RENDER_MODES = (*RENDER_MODES, "rgb_mosaic")


class PhysCartPoleVectorEnv(NoPhysicsAttributes, VectorEnv[Observations, Any, Array]):
    """Many cart-poles in parallel; see ``PhysCartPoleEnv`` for actions, observations, rewards and arguments.

    Further arguments: ``num_envs``, ``max_episode_steps`` (set by ``gym.make_vec`` from the id; without it
    there is no limit, as for a single environment) and ``autoreset_mode`` (``"NextStep"``, ``"SameStep"``,
    ``"Disabled"`` or the enum). Each value in ``params`` may be a list with one number per environment.
    ``render_mode``: ``"human"`` shows one window with all environments, ``"rgb_array"`` returns one image
    each, ``"rgb_mosaic"`` one image of all.
    """

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int = NO_LIMIT,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        task: str = "balance",
        continuous: bool = True,
        render_mode: str | None = None,
        **arguments: Unpack[Arguments],
    ) -> None:
        """See the class for the arguments.

        Raises:
            UnexpectedArgumentError: on an unknown argument, an ``InputError`` and a ``TypeError``.
            InputError: on an unknown mode, a value out of its range, or fewer than 1 environment.
        """
        if not is_integer(num_envs) or num_envs < 1:
            raise InputError(f"Expected num_envs of at least 1, got {num_envs!r}.")
        params = parse_params(arguments.pop("params", None), num_envs)
        self.system = CartPole.from_arguments(
            task, continuous, {**arguments, "params": params[0].as_mapping()}, parse_limit(max_episode_steps)
        )
        self.num_envs = num_envs
        self.render_mode = check_render_mode(render_mode, VECTOR_RENDER_MODES)
        self.autoreset_mode = parse_autoreset_mode(autoreset_mode)
        self.metadata = {
            **METADATA,
            "render_modes": list(VECTOR_RENDER_MODES),
            "render_fps": frames_per_second(self.system),
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = observation_space(self.system.task)
        self.single_action_space = action_space(continuous)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.columns = Columns(self.system, num_envs)
        self.columns.set_params(params)
        self._autoresets = self.autoreset_mode is AutoresetMode.NEXT_STEP
        self._started = False
        self._seeds: Sequence[int] = [NO_SEED] * num_envs
        self._window: Any = None
        self._spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """The spec of ``gym.make_vec``, with keyword arguments in JSON types."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec.kwargs = {name: json_value(value) for name, value in spec.kwargs.items()}
        self._spec = spec

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override] # as SyncVectorEnv has it
        """The seed of each environment, −1 if it was never seeded."""
        return tuple(self._seeds)

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Start new episodes in all environments, or in those of ``options["reset_mask"]``.

        Args:
            seed: an int s seeds environment i with s + i; a list has one seed each; None continues.
            options: ``low`` and ``high`` bound the start variables; ``state`` is (x, ẋ, θ, θ̇) for all, or
                such rows (n, 4); ``reset_mask`` is a bool array (n,).

        Raises:
            InputError: on bad seeds, bounds or states, or a mask that is not a bool array of shape (n,)
                with at least one True; all states are unchanged.
            ResetNeeded: if the first reset has a mask that omits some environments.
        """
        start = parse_start(options, self.num_envs, VECTOR_OPTIONS)
        mask = parse_mask(options, self.num_envs)
        seeds = None if seed is None else parse_seeds(seed, self.num_envs)
        if not self._started and not mask.all():
            raise ResetNeeded("Cannot reset a part of environments that were never reset; reset all first.")
        super().reset(seed=None)
        columns = self.columns
        if not self._started:
            columns.keys[:] = keys_from_generator(self.np_random, self.num_envs)
            columns.episodes[:] = -1
            self._started = True
        columns.episodes += mask
        if seeds is not None:
            self._assign_seeds(seeds, mask)
        columns.begin(mask, start)
        if self.render_mode == "human":
            self.render()
        return columns.observe(), self._infos(mask, np.zeros_like(mask))

    def step(self, actions: Any) -> tuple[Observations, FloatArray, Flags, Flags, dict[str, Any]]:
        """Advance every environment by one time step.

        Raises:
            InputError: on actions of the wrong shape or kind, or not finite; all states are unchanged.
            ResetNeeded: before the first reset, or with autoreset disabled after an episode's end.
        """
        self._check_steppable()
        columns = self.columns
        columns.set_actions(actions, self._autoresets)
        stepping = columns.done == 0 if self.system.has_infos else None
        stepped = columns.step(self._autoresets)
        infos: dict[str, Any] = {}
        if stepped.any_done and self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos = self._end_in_same_step(stepped)
        elif stepping is not None:
            infos = self._infos(np.ones_like(stepping), stepping)
        if self.render_mode == "human":
            self.render()
        return stepped.observations, stepped.rewards, stepped.terminated, stepped.truncated, infos

    def get_state(self) -> Snapshot:
        """A snapshot of the full state of all environments, including the random state.

        Raises:
            ResetNeeded: before the first reset.
        """
        self._require_reset("keep the state of")
        return take_snapshot(self.columns, self.np_random)

    def set_state(self, snapshot: Snapshot) -> Observations:
        """Restore a snapshot, to continue identically, and return the observations.

        Raises:
            InputError: if it is not a snapshot of equal environments, or has ended episodes, which cannot
                occur in ``"SameStep"`` mode; all states are unchanged.
        """
        may_be_over = self.autoreset_mode is not AutoresetMode.SAME_STEP
        restore_snapshot(snapshot, self.columns, self.np_random, may_be_over)
        self._started = True
        return self.columns.observe()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The attribute ``name`` of every environment, or its return value if it is callable."""
        return self.call_some(range(self.num_envs), name, *args, **kwargs)

    def call_some(self, indices: Iterable[int], name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """``call`` for some environments.

        Each environment's memory is copied into a scalar ``PhysCartPoleEnv``, and copied back after the call.
        """
        results, scalar, memory = [], self._scalar_env(), self.columns.memory
        self._seeds = seeds = list(self._seeds)
        try:
            for i in indices:
                scalar.columns.restore(memory[:, i : i + 1])
                scalar._np_random_seed = seeds[i]
                value = getattr(scalar, name)
                results.append(_separate(value(*args, **kwargs) if callable(value) else value))
                memory[:, i], seeds[i] = scalar.columns.memory[:, 0], scalar._np_random_seed
        finally:
            self.columns.select_kernels()
        return tuple(results)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """The attribute ``name`` of every environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set ``"params"``, the only attribute that can differ between environments.

        Args:
            name: the attribute's name.
            values: a list or tuple with one value per environment, or one value for all.

        Raises:
            InputError: on another attribute, or a list of the wrong length; no environment is changed.
        """
        if name != "params":
            raise InputError(
                f"Cannot set {name!r} of existing environments, only 'params'; pass it to gym.make_vec."
            )
        given = list(values) if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(given) != self.num_envs:
            raise InputError(f"Expected one value or {self.num_envs} values, got {len(given)}.")
        columns = self.columns
        columns.set_params(
            [changed_params(columns.params_of(i), value, self.system) for i, value in enumerate(given)]
        )

    def render(self) -> Any:
        """Render a tuple with an image (H, W, 3) of uint8 per environment, or one image or window of all.

        Raises:
            DependencyNotInstalled: without pygame.
            InputError: if no window can be opened.
            ResetNeeded: before the first reset.
        """
        if self.render_mode is None:
            return None
        self._require_reset("render")
        from cartpole_phys.rendering.draw import draw, draw_mosaic
        from cartpole_phys.rendering.window import Window

        if self.render_mode == "rgb_array":
            return tuple(draw(self.columns, i) for i in range(self.num_envs))
        frame = draw_mosaic(self.columns)
        if self.render_mode == "rgb_mosaic":
            return frame
        self._window = self._window or Window(self.metadata["render_fps"])
        self._window.show(frame)
        return None

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window, if one is open."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _assign_seeds(self, seeds: Sequence[Any], mask: Flags) -> None:
        """Set the keys of the environments in ``mask`` from their seeds; None keeps an environment's key."""
        some_continue = not isinstance(seeds, range) and None in seeds
        given = mask & np.array([own is not None for own in seeds]) if some_continue else mask
        seeded: Flags | slice = given
        if given.all():
            self._seeds = own = seeds
            seeded = slice(None)  # much faster than a mask
        else:
            own = [seeds[i] for i in np.flatnonzero(given).tolist()]
            rows = zip(given, seeds, self._seeds, strict=True)
            self._seeds = [new if is_new else old for is_new, new, old in rows]
        self.columns.keys[seeded], self.columns.episodes[seeded] = keys_from_seeds(own), 0

    def _scalar_env(self) -> PhysCartPoleEnv:
        """A scalar environment of the same system, to hold one environment's memory; it opens no window."""
        mode = "rgb_array" if self.render_mode in ("rgb_array", "rgb_mosaic") else None
        env = PhysCartPoleEnv.from_system(self.system, mode)
        env._started, env._np_random, env.spec = self._started, self.np_random, single_env_spec(self.spec)
        return env

    def _infos(self, where: Flags, stepped: Flags) -> dict[str, Any]:
        """Gymnasium vector infos of the environments in ``where``; those in ``stepped`` have made a step."""
        infos: dict[str, Any] = {}
        if not self.system.has_infos:
            return infos
        for name, values in self.columns.infos(bool(stepped.any())).items():
            present = where & stepped if name == "push" else where.copy()
            if present.any():
                values[~present] = 0.0
                infos[name], infos[f"_{name}"] = values, present
        return infos

    def _check_steppable(self) -> None:
        self._require_reset("step")
        if self.autoreset_mode is AutoresetMode.DISABLED and self.columns.done.any():
            raise ResetNeeded(
                f"Environment {int(np.argmax(self.columns.done))} has ended and autoreset is disabled; "
                'call reset(options={"reset_mask": terminated | truncated}) first.'
            )

    def _require_reset(self, what: str) -> None:
        if not self._started:
            raise ResetNeeded(f"Cannot {what} an environment that was never reset; call reset() first.")

    def _end_in_same_step(self, stepped: Stepped) -> dict[str, Any]:
        """Reset ended environments, and return infos with their final observations and infos."""
        ended = stepped.terminated | stepped.truncated
        final_infos = self._infos(ended, ended)
        rows = self.columns.restart(stepped.observations)
        final_observations = np.empty(self.num_envs, dtype=object)  # filled with None
        final_observations[ended] = np.fromiter(iter(rows), dtype=object, count=len(rows))
        return {
            **self._infos(np.ones_like(ended), ~ended),
            "final_obs": final_observations,
            "_final_obs": ended,
            "final_info": final_infos,
            "_final_info": ended.copy(),
        }


def _separate(value: Any) -> Any:
    """Copy a space, spec or metadata, which environments must not share; return other values as they are."""
    return copy.deepcopy(value) if isinstance(value, (spaces.Space, EnvSpec, dict)) else value
