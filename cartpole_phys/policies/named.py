"""Policies by a word: a law of this package by its name, or anyone's as MODULE:FACTORY."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cartpole_phys.errors import InputError
from cartpole_phys.policies.heuristic import proportional, uniform
from cartpole_phys.policies.lqr import regulator
from cartpole_phys.policies.swing_up import swing_up
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.system import CartPole
from cartpole_phys.task import SWING_UP

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


def names_for(system: CartPole) -> tuple[str, ...]:
    """The names of the laws that a system's task knows, the best one first."""
    return tuple(_SWING_UP if system.task.code == SWING_UP else _BALANCE)


def named_policy(name: str | None, system: CartPole) -> Policy | CompiledPolicy:
    """The policy for a word, made for a system.

    Args:
        name: one of ``names_for(system)``, None for the best of them, or MODULE:FACTORY, see
            ``policy_from_factory``.
        system: physics and task.

    Raises:
        InputError: on a name that is not known or belongs to another task, or a factory that is not there,
            raises an exception or returns no policy.
    """
    names = names_for(system)
    name = names[0] if name is None else name
    if ":" in name:
        return policy_from_factory(name, system)
    if name not in names:
        what = "is not for this task" if name in NAMES else "is not known"
        raise InputError(
            f"Policy {name!r} {what}; choose from {', '.join(names)}, a data set's FILE or MODULE:FACTORY."
        )
    makers = _SWING_UP if system.task.code == SWING_UP else _BALANCE
    return makers[name](system)


def policy_from_factory(place: str, system: CartPole) -> Policy | CompiledPolicy:
    """The policy that MODULE:FACTORY returns; modules in the working directory are found too.

    The factory, a function or a class, is called without arguments where it needs none, else with the
    system as its only argument.

    Raises:
        InputError: if the module cannot be imported or has no such factory, or if that raises an exception
            or returns no policy.
    """
    module_name, _, factory_name = place.partition(":")
    factory = getattr(_module(module_name), factory_name, None)
    if not callable(factory):
        raise InputError(f"Module {module_name!r} has no function or class {factory_name!r} to call.")
    try:
        policy = factory() if _needs_nothing(factory) else factory(system)
    except Exception as error:  # it is not this package's code, so it may raise anything
        raise InputError(
            f"Expected {place!r} to return a policy when called without arguments or with the system alone, "
            f"but it raised {error!r:.200}."
        ) from error
    if isinstance(policy, CompiledPolicy):
        return policy
    if isinstance(policy, type) or not all(
        callable(getattr(policy, name, None)) for name in ("begin", "act")
    ):
        raise InputError(
            f"Expected {place!r} to return a policy with the methods begin and act, or a CompiledPolicy, got "
            f"{policy!r:.60}."
        )
    made: Policy = policy
    return made


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
