"""Policies by a word: a law of this package by its name, or anyone's as MODULE:FACTORY."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cartpole_phys.errors import InputError
from cartpole_phys.policies.adapters import KINDS, as_policy
from cartpole_phys.policies.heuristic import proportional, uniform
from cartpole_phys.policies.lqr import regulator
from cartpole_phys.policies.swing_up import swing_up
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.system import CartPole
from cartpole_phys.task import SWING_UP
from cartpole_phys.worlds.world import World

# The damped heuristic: measured to balance all of 64 episodes, also after a shove of 5 N for 0.2 s.
GAIN, DAMPING = 8.0, 1.0  # 1/rad, s/rad


def _random(system: CartPole) -> CompiledPolicy:
    return uniform()


def _heuristic(system: CartPole) -> CompiledPolicy:
    return proportional(GAIN, system.continuous, DAMPING)


def _lqr(system: CartPole) -> CompiledPolicy:
    return regulator(system.params)


def _swing_up(system: CartPole) -> CompiledPolicy:
    return swing_up(system.params)


_BALANCE: Mapping[str, Callable[[CartPole], CompiledPolicy]] = {
    "lqr": _lqr,
    "heuristic": _heuristic,
    "random": _random,
}
_SWING_UP: Mapping[str, Callable[[CartPole], CompiledPolicy]] = {"swing-up": _swing_up, "random": _random}
NAMES = tuple(dict.fromkeys((*_BALANCE, *_SWING_UP)))


def names_for(place: CartPole | World) -> tuple[str, ...]:
    """The names of the laws for a system's task or a world, the best one first."""
    return tuple(_makers(_system(place)))


def named_policy(name: str | None, place: CartPole | World) -> Policy | CompiledPolicy:
    """The policy for a word, made for the place where it is to act.

    Args:
        name: one of ``names_for(place)``, None for the best of them, or MODULE:FACTORY, see
            ``policy_from_factory``.
        place: physics and task of this package's environments, or any world.

    Raises:
        InputError: on a name that is not known or belongs to another task, or a factory that is not there,
            raises an exception or returns no policy.
    """
    system, names = _system(place), names_for(place)
    name = names[0] if name is None else name
    if ":" in name:
        return policy_from_factory(name, place)
    if name not in names:
        what = "is not for this task" if name in NAMES else "is not known"
        raise InputError(
            f"Policy {name!r} {what}; choose from {', '.join(names)}, a data set's FILE or MODULE:FACTORY."
        )
    return uniform() if system is None else _makers(system)[name](system)


def _system(place: CartPole | World) -> CartPole | None:
    """Physics and task of a place, None for worlds that are not this package's."""
    return place if isinstance(place, CartPole) else place.system


def _makers(system: CartPole | None) -> Mapping[str, Callable[[CartPole], CompiledPolicy]]:
    """The laws that are known for a task, by name."""
    if system is None:
        return {"random": _random}
    return _SWING_UP if system.task.code == SWING_UP else _BALANCE


def policy_from_factory(
    factory_name: str, place: CartPole | World, source_sha256: str | None = None
) -> Policy | CompiledPolicy:
    """The policy that MODULE:FACTORY returns; modules in the working directory are found too.

    The factory, a function or a class, is called without arguments where it needs none. Else its only
    argument is the system (``CartPole``) in this package's environments, and the ``World`` in others, which
    has the spaces. What it returns may be anything that ``adapters.as_policy`` takes.

    Args:
        factory_name: MODULE:FACTORY.
        place: where the policy is to act.
        source_sha256: the hash that the module's source must have, from ``factory_description``.

    Raises:
        InputError: if the module cannot be imported, has no such factory or another source, or if the
            factory raises an exception or returns no policy.
    """
    factory = _factory(factory_name)
    if source_sha256 is not None and source_sha256 != _source_sha256(factory_name):
        raise InputError(
            f"The source of {factory_name!r} is not the one that acted (sha256 {source_sha256}); "
            "get that version of the module."
        )
    try:
        policy = factory() if _needs_nothing(factory) else factory(_system(place) or place)
    except Exception as error:  # it is not this package's code, so it may raise anything
        raise InputError(
            f"Expected {factory_name!r} to return a policy when called without arguments, or with the system "
            f"or world alone, but it raised {error!r:.200}."
        ) from error
    try:
        return as_policy(policy)
    except InputError as error:
        raise InputError(f"Expected {factory_name!r} to return {KINDS}, got {policy!r:.60}.") from error


def factory_description(factory_name: str) -> dict[str, str]:
    """The description of a behaviour that MODULE:FACTORY makes, with a hash of the module's source file.

    Raises:
        InputError: if the module cannot be imported, has no such factory or no source file.
    """
    _factory(factory_name)
    return {"kind": "factory", "place": factory_name, "source_sha256": _source_sha256(factory_name)}


def _factory(factory_name: str) -> Callable[..., Any]:
    """The function or class that MODULE:FACTORY names."""
    module_name, _, name = factory_name.partition(":")
    factory: Any = getattr(_module(module_name), name, None)
    if not callable(factory):
        raise InputError(f"Module {module_name!r} has no function or class {name!r} to call.")
    return factory


def _source_sha256(factory_name: str) -> str:
    """Hash of the file that a factory's module was loaded from."""
    module = _module(factory_name.partition(":")[0])
    path = getattr(module, "__file__", None)
    if path is None:
        raise InputError(f"Expected a module with a source file, but {module.__name__!r} has none.")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _module(name: str) -> Any:
    """A module by its name, also one in the working directory, where installed commands do not look."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError) as error:  # ValueError: an empty name
        raise InputError(
            f"Cannot import the module {name!r} ({error}); expected MODULE:FACTORY, with a module that can "
            "be imported from the working directory."
        ) from error


def _needs_nothing(factory: Callable[..., Any]) -> bool:
    """Whether a factory can be called without arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return False
    except ValueError:  # built in, without a signature to look at
        return True
    return True
