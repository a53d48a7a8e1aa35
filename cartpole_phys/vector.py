"""The vector Gymnasium environment: a thin view of the compiled step of many columns.

It behaves as ``SyncVectorEnv`` over scalar environments, to the last bit, in all three autoreset modes.
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
    parse_autoreset_mode,
    parse_limit,
    parse_mask,
    parse_params,
    parse_seeds,
    parse_start,
    plain,
    spec_of_one,
)
from cartpole_phys.batch import Columns, Snapshot, Stepped, keep, restore
from cartpole_phys.env import (
    METADATA,
    RENDER_MODES,
    PhysCartPoleEnv,
    changed_params,
    check_render_mode,
    observation_space,
    pictures_a_second,
)
from cartpole_phys.numeric.philox import keys_from_generator
from cartpole_phys.numeric.seed_keys import keys_from_seeds
from cartpole_phys.spaces import action_space
from cartpole_phys.system import Arguments, CartPole
from cartpole_phys.utils.errors import InputError, is_integer
from cartpole_phys.utils.typing import Array, Flags, FloatArray, Observations

NO_SEED = -1  # as Gymnasium has it where the seed is not known
VECTOR_RENDER_MODES = (*RENDER_MODES, "rgb_mosaic")


class PhysCartPoleVectorEnv(NoPhysicsAttributes, VectorEnv[Observations, Any, Array]):
    """Many cart-poles at once; see ``PhysCartPoleEnv`` for actions, observations, rewards and arguments.

    Further arguments: ``num_envs``, ``max_episode_steps`` (an id gives its own; without one there is no
    limit, as for a single environment) and ``autoreset_mode`` (``"NextStep"``, ``"SameStep"``, ``"Disabled"``
    or the enum). Each value in ``params`` may be a list with one number per environment. ``render_mode``:
    ``"human"`` shows one window with all environments, ``"rgb_array"`` gives one image each,
    ``"rgb_mosaic"`` one image of all.
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
            "render_fps": pictures_a_second(self.system),
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = observation_space(self.system.task)
        self.single_action_space = action_space(continuous)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.columns = Columns(self.system, num_envs)
        self.columns.set_params(params)
        self._restarts = self.autoreset_mode is AutoresetMode.NEXT_STEP
        self._started = False
        self._seeds: Sequence[int] = [NO_SEED] * num_envs
        self._window: Any = None
        self._spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """What ``gym.make_vec`` was given, as JSON can hold it."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec.kwargs = {name: plain(value) for name, value in spec.kwargs.items()}
        self._spec = spec

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override] # as SyncVectorEnv has it
        """The seed of each environment, −1 where it was never given one."""
        return tuple(self._seeds)

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Start new episodes, everywhere or where ``options["reset_mask"]`` is set.

        Args:
            seed: an int s seeds environment i with s + i; a list gives each its own; None goes on.
            options: ``low`` and ``high`` bound the start variables; ``state`` is (x, ẋ, θ, θ̇) for all, or
                such rows (n, 4); ``reset_mask`` is a bool array (n,).

        Raises:
            InputError: on bad seeds, bounds or states, or a mask that is not a bool array of shape (n,)
                with at least one True; no state is touched.
            ResetNeeded: if the first reset has a mask that leaves some out.
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
        columns.episodes[mask] += 1
        if seeds is not None:
            self._give_seeds(seeds, mask)
        columns.begin(mask, start)
        if self.render_mode == "human":
            self.render()
        return columns.observe(), self._infos(mask, np.zeros_like(mask))

    def step(self, actions: Any) -> tuple[Observations, FloatArray, Flags, Flags, dict[str, Any]]:
        """Advance every environment by one time step.

        Raises:
            InputError: on actions of the wrong shape or kind, or not finite; no state is touched.
            ResetNeeded: before the first reset, or with autoreset disabled after an episode's end.
        """
        self._check_steppable()
        columns = self.columns
        columns.set_actions(actions, self._restarts)
        stepping = columns.done == 0 if self.system.tells else None
        stepped = columns.step(self._restarts)
        infos: dict[str, Any] = {}
        if stepped.any_done and self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos = self._end_in_same_step(stepped)
        elif stepping is not None:
            infos = self._infos(np.ones_like(stepping), stepping)
        if self.render_mode == "human":
            self.render()
        return stepped.observations, stepped.rewards, stepped.terminated, stepped.truncated, infos

    def get_state(self) -> Snapshot:
        """Everything that decides how these environments go on.

        Raises:
            ResetNeeded: before the first reset.
        """
        self._require_reset("keep the state of")
        return keep(self.columns, self.np_random)

    def set_state(self, snapshot: Snapshot) -> Observations:
        """Go on from a snapshot, identically, and return the observations there.

        Raises:
            InputError: if it is not a snapshot of equal environments, or one with ended episodes, which
                ``"SameStep"`` does not have; no state is touched.
        """
        may_be_over = self.autoreset_mode is not AutoresetMode.SAME_STEP
        restore(snapshot, self.columns, self.np_random, may_be_over)
        self._started = True
        return self.columns.observe()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The attribute ``name`` of every environment, or what it returns if it can be called."""
        return self.call_some(range(self.num_envs), name, *args, **kwargs)

    def call_some(self, indices: Iterable[int], name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """``call`` for some environments.

        One after another they are lent as a ``PhysCartPoleEnv`` and taken back as the call left it.
        """
        results, lent, memory = [], self._lent(), self.columns.memory
        self._seeds = seeds = list(self._seeds)
        try:
            for i in indices:
                lent.columns.restore(memory[:, i : i + 1])
                lent._np_random_seed = seeds[i]
                value = getattr(lent, name)
                results.append(_separate(value(*args, **kwargs) if callable(value) else value))
                memory[:, i], seeds[i] = lent.columns.memory[:, 0], lent._np_random_seed
        finally:
            self.columns.look_for_differences()
        return tuple(results)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """The attribute ``name`` of every environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set ``"params"``, the one attribute that environments can have for themselves.

        Args:
            name: the attribute's name.
            values: a list or tuple with one value per environment, or one value for all.

        Raises:
            InputError: on another attribute, or a list of the wrong length; no environment is changed.
        """
        if name != "params":
            raise InputError(
                f"Cannot set {name!r} of running environments, only 'params'; make others with it instead."
            )
        given = list(values) if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(given) != self.num_envs:
            raise InputError(f"Expected one value or {self.num_envs} values, got {len(given)}.")
        columns = self.columns
        columns.set_params(
            [changed_params(columns.params_of(i), value, self.system) for i, value in enumerate(given)]
        )

    def render(self) -> Any:
        """A tuple with an image (H, W, 3) of uint8 per environment, or one image or window of all.

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
        picture = draw_mosaic(self.columns)
        if self.render_mode == "rgb_mosaic":
            return picture
        self._window = self._window or Window(self.metadata["render_fps"])
        self._window.show(picture)
        return None

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _give_seeds(self, seeds: Sequence[Any], mask: Flags) -> None:
        """Give the environments in ``mask`` the keys of their seeds; None leaves an environment its key."""
        some_go_on = not isinstance(seeds, range) and None in seeds
        given = mask & np.array([own is not None for own in seeds]) if some_go_on else mask
        if given.all():
            self._seeds = own = seeds
        else:
            own = [seeds[i] for i in np.flatnonzero(given).tolist()]
            rows = zip(given, seeds, self._seeds, strict=True)
            self._seeds = [new if told else old for told, new, old in rows]
        self.columns.keys[given], self.columns.episodes[given] = keys_from_seeds(own), 0

    def _lent(self) -> PhysCartPoleEnv:
        """A single environment like these, to be given the memory of one of them; it opens no window."""
        mode = "rgb_array" if self.render_mode in ("rgb_array", "rgb_mosaic") else None
        env = PhysCartPoleEnv.of_system(self.system, mode)
        env._started, env._np_random, env.spec = self._started, self.np_random, spec_of_one(self.spec)
        return env

    def _infos(self, where: Flags, stepped: Flags) -> dict[str, Any]:
        """Infos of the environments in ``where`` as Gymnasium's vector infos; of ``stepped``, of a step."""
        infos: dict[str, Any] = {}
        if not self.system.tells:
            return infos
        for name, values in self.columns.tell(bool(stepped.any())).items():
            told = where & stepped if name == "push" else where.copy()
            if told.any():
                values[~told] = 0.0
                infos[name], infos[f"_{name}"] = values, told
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
        """Reset what has ended, and report the observations and infos that this replaces."""
        ended = stepped.terminated | stepped.truncated
        final_infos = self._infos(ended, ended)
        rows = self.columns.restart(stepped.observations)
        final_observations = np.empty(self.num_envs, dtype=object)  # each None, as NumPy makes them
        final_observations[ended] = np.fromiter(iter(rows), dtype=object, count=len(rows))
        return {
            **self._infos(np.ones_like(ended), ~ended),
            "final_obs": final_observations,
            "_final_obs": ended,
            "final_info": final_infos,
            "_final_info": ended.copy(),
        }


def _separate(value: Any) -> Any:
    """A space, specification or metadata of an environment, which others must not share; else ``value``."""
    return copy.deepcopy(value) if isinstance(value, (spaces.Space, EnvSpec, dict)) else value
