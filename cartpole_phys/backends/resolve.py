"""Backends from an environment id, a spec or an environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from cartpole_phys.backends.base import Backend
from cartpole_phys.backends.gymnasium_env import gymnasium_backend
from cartpole_phys.backends.make import NOT_FOR_DATA, find_spec
from cartpole_phys.backends.native import native_backend
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

OWN_MODULE = "cartpole_phys:"  # as in ``gym.make("cartpole_phys:PhysCartPole-v0")``

# Wrappers that ``gym.make`` adds, or that do not affect the data.
HARMLESS = (
    "TimeLimit",
    "OrderEnforcing",
    "PassiveEnvChecker",
    "RecordEpisodeStatistics",
    "RenderCollection",
    "HumanRendering",
)


def make_backend(env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> Backend:
    """The backend of an environment id, with keyword arguments as for ``gym.make``.

    Raises:
        InputError: on an unknown id or argument, a missing module, spaces not supported in data sets, or an
            environment without a time limit.
    """
    env_id = env_id.removeprefix(OWN_MODULE)
    if env_id in CartPole.known_ids():
        return native_backend(env_id, env_kwargs or {})
    return gymnasium_backend(env_id, env_kwargs or {})


def backend_from(env: str | EnvSpec | gym.Env[Any, Any]) -> Backend:
    """The backend of an id, a spec or an environment from ``gym.make``.

    A backend creates its own environments from the id and arguments, so further wrappers are rejected, and
    attributes set after ``gym.make`` are ignored.

    Raises:
        InputError: on any other type, an environment without a spec or with further wrappers, or as for
            ``make_backend``.
    """
    if isinstance(env, str):
        return make_backend(env)
    if not isinstance(env, EnvSpec | gym.Env):
        raise InputError(f"Expected an environment id, an EnvSpec or a gymnasium.Env, got {env!r:.60}.")
    spec = env if isinstance(env, EnvSpec) else env.spec
    if spec is None:
        raise InputError("Expected an environment from gymnasium.make, got one without a spec; pass its id.")
    registered = find_spec(spec.id)
    known = {*HARMLESS, *(wrapper.name for wrapper in registered.additional_wrappers)}
    for name in _wrappers(env):
        if name not in known:
            raise InputError(
                f"Expected an environment from gymnasium.make, got one wrapped in {name}; register the"
                " wrapped environment under its own id and pass that."
            )
    return make_backend(spec.id, _arguments(spec, registered))


def _wrappers(env: EnvSpec | gym.Env[Any, Any]) -> Iterator[str]:
    """The names of all wrappers, the outermost one first."""
    if isinstance(env, EnvSpec):
        yield from (wrapper.name for wrapper in env.additional_wrappers)
        return
    layer: Any = env
    while isinstance(layer, gym.Wrapper):
        yield type(layer).__name__
        layer = layer.env


def _arguments(spec: EnvSpec, registered: EnvSpec) -> dict[str, Any]:
    """The arguments of ``gym.make`` that differ from the registered ones, without those for rendering.

    Raises:
        InputError: if the registered time limit was removed, or changed where it must not be.
    """
    own = registered.kwargs
    given = {
        name: value
        for name, value in spec.kwargs.items()
        if name not in NOT_FOR_DATA and (name not in own or own[name] != value)
    }
    if spec.max_episode_steps == registered.max_episode_steps:
        return given
    if spec.max_episode_steps is None:
        raise InputError(
            f"Expected the {registered.max_episode_steps} steps that episodes of {spec.id!r} have, got no "
            "limit; pass the environment from gymnasium.make, not unwrapped, and without "
            "max_episode_steps=-1."
        )
    if spec.id in CartPole.known_ids():
        raise InputError(
            f"Expected the {registered.max_episode_steps} steps that episodes of {spec.id!r} have, got "
            f"{spec.max_episode_steps}; make the environment without max_episode_steps."
        )
    return {**given, "max_episode_steps": spec.max_episode_steps}
