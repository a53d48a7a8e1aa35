"""Policies by a word: a law of this package by its name, or anyone's as MODULE:FACTORY."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cartpole_phys.choices import choices
from cartpole_phys.errors import InputError
from cartpole_phys.policies.factory import policy_from_factory
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
        others = ", a data set's FILE or MODULE:FACTORY"
        raise InputError(f"Policy {name!r} {what}; {choices(name, names, others)}")
    return uniform() if system is None else _makers(system)[name](system)


def _system(place: CartPole | World) -> CartPole | None:
    """Physics and task of a place, None for worlds that are not this package's."""
    return place if isinstance(place, CartPole) else place.system


def _makers(system: CartPole | None) -> Mapping[str, Callable[[CartPole], CompiledPolicy]]:
    """The laws that are known for a task, by name."""
    if system is None:
        return {"random": _random}
    return _SWING_UP if system.task.code == SWING_UP else _BALANCE
