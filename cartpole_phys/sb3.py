"""The vector environment as a Stable-Baselines3 ``VecEnv``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from cartpole_phys.arguments import NoPhysicsAttributes
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, Flags
from cartpole_phys.vector import PhysCartPoleVectorEnv

READING_METHODS = (  # of ``list``; ``Infos`` defines ``__getitem__`` itself
    "__add__",
    "__contains__",
    "__eq__",
    "__ge__",
    "__gt__",
    "__imul__",
    "__iter__",
    "__le__",
    "__lt__",
    "__mul__",
    "__ne__",
    "__repr__",
    "__reversed__",
    "__rmul__",
    "copy",
    "count",
    "index",
    "pop",
    "remove",
    "sort",
)
_item: Callable[[list[Any], Any], Any] = list.__getitem__  # ``super()`` would take longer than the look-up


class Infos(list[dict[str, Any]]):
    """A list with one info per environment, each created on first read.

    It is constructed from a list with None for each dictionary to create. Creating all of them takes longer
    than the step, and most callers read only those of ended episodes. An ``__init__`` or a ``__dict__`` would
    cost a tenth of the step of a few environments.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        """The info of one environment, or a list of several."""
        info = _item(self, index)
        if info is None:
            info = self[index] = {}
        elif type(info) is list:  # the index is a slice
            self.create()
            info = _item(self, index)
        return info

    def __reduce__(self) -> tuple[type, tuple[list[dict[str, Any]]]]:
        """Copy and pickle as a plain list."""
        return list, (list(self),)

    def create(self) -> None:
        """Create all dictionaries that have not been read yet."""
        self[:] = [{} if info is None else info for info in super().__iter__()]


def _after_creation(name: str) -> Callable[..., Any]:
    """A method of ``list`` that first creates all dictionaries."""
    method = getattr(list, name)

    @functools.wraps(method)
    def call(infos: Infos, *args: Any, **kwargs: Any) -> Any:
        infos.create()
        return method(infos, *args, **kwargs)

    return call


for _name in READING_METHODS:
    setattr(Infos, _name, _after_creation(_name))

HUMAN = "human"  # the render mode
STATE = "state"  # the only option that may differ between environments


class PhysCartPoleVecEnv(NoPhysicsAttributes, VecEnv):
    """A Stable-Baselines3 ``VecEnv`` over ``PhysCartPoleVectorEnv``: all environments in one compiled step.

    Stable-Baselines3 merges termination and truncation into ``done`` and expects the last observation in
    ``info["terminal_observation"]`` and the time limit in ``info["TimeLimit.truncated"]``. The other infos of
    Gymnasium are in the attribute ``infos``, as arrays over the environments.
    """

    def __init__(self, envs: PhysCartPoleVectorEnv) -> None:
        """Wrap a vector environment.

        Raises:
            InputError: on another environment, or if its autoreset mode is not ``"SameStep"``, which
                Stable-Baselines3 relies on.
        """
        if not isinstance(envs, PhysCartPoleVectorEnv):
            raise InputError(
                'Expected a vector environment from gym.make_vec("PhysCartPole-v0", num_envs=8, '
                f'autoreset_mode="SameStep"), without wrappers, got {envs!r:.60}.'
            )
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise InputError(f'Expected autoreset_mode="SameStep", got "{envs.autoreset_mode.value}".')
        self.envs = envs
        self.infos: dict[str, Any] = {}
        self._actions: Array | None = None
        self._unread: list[Any] = [None] * envs.num_envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        if envs.render_mode == HUMAN:  # which Stable-Baselines3 looks for in single environments
            self.render_mode, self.metadata = HUMAN, {"render_modes": [HUMAN]}

    def reset(self) -> npt.NDArray[np.float32]:
        """Start new episodes, with the seeds and options from ``seed`` and ``set_options``.

        Raises:
            InputError: if options other than ``"state"`` differ between environments, or are invalid; the
                options are cleared in any case.
        """
        options = self._options
        self._reset_options()
        seeded = any(seed is not None for seed in self._seeds)
        seeds = self._seeds if seeded else None
        observations, self.infos = self.envs.reset(seed=seeds, options=_merged(options))
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        return observations

    def step_async(self, actions: Array) -> None:
        """Store the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Flags, list[dict[str, Any]]]:
        """Advance all environments with the actions stored by ``step_async``."""
        observations, rewards, terminated, truncated, self.infos = self.envs.step(self._actions)
        done = terminated | truncated
        infos = Infos(self._unread)
        for i in np.flatnonzero(done).tolist():
            infos[i] = {
                "terminal_observation": self.infos["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        return observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def render(self, mode: str | None = None) -> npt.NDArray[np.uint8] | None:
        """Render all environments in one window (human mode), as one image (H, W, 3), or None."""
        if self.render_mode == HUMAN and mode in (None, HUMAN):
            self.envs.render()
            return None
        return super().render(mode)

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """One image (H, W, 3) per environment, or None in render modes without images."""
        if self.envs.render_mode in (None, HUMAN):
            return [None] * self.num_envs
        return self.envs.call("render")

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment, such as ``"params"`` or ``"state"``."""
        return self.env_method("__getattribute__", attr_name, indices=indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set ``"params"`` of environments to one value.

        Raises:
            InputError: on another attribute, or parameters out of range.
        """
        values = list(self.envs.get_attr("params"))
        for i in self._get_indices(indices):
            values[i] = value
        self.envs.set_attr(attr_name, values)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of each environment, such as ``"get_state"``; its effects persist."""
        return list(
            self.envs.call_some(self._get_indices(indices), method_name, *method_args, **method_kwargs)
        )

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """False for each index: no wrappers are possible."""
        return [False for _ in self._get_indices(indices)]


def _merged(options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the options of n environments into one, with states of shape (n, 4) if they have states.

    Raises:
        InputError: if other options differ, or only some environments have a state.
    """
    others = [{name: value for name, value in one.items() if name != STATE} for one in options]
    states = [one[STATE] for one in options if STATE in one]
    if any(one != others[0] for one in others) or 0 < len(states) < len(options):
        raise InputError(
            f"Expected equal options for all {len(options)} environments except {STATE!r}, got "
            f"{list(options)!r:.200}."
        )
    if not states:
        return others[0]
    try:
        for_all = np.ndim(states) == 3  # (n, n, 4): a state for each, given to all
    except ValueError:  # ragged: rejected by ``reset``
        for_all = False
    return {**others[0], STATE: states[0] if for_all else states}
