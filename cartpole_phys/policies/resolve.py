"""Anyone's policy, as MODULE:FACTORY or MODULE:FACTORY(ARGUMENTS)."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cartpole_phys.backends.base import Backend
from cartpole_phys.backends.make import import_user_module
from cartpole_phys.policies.controllers import proportional, regulator, swing_up, uniform
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy, Policy
from cartpole_phys.system import CartPole
from cartpole_phys.task import SWING_UP
from cartpole_phys.utils.choices import choices
from cartpole_phys.utils.errors import InputError, error_summary
from cartpole_phys.utils.typing import Array, FloatArray


class _Call(NamedTuple):
    """What MODULE:FACTORY(ARGUMENTS) says."""

    factory: Callable[..., Any]
    arguments: tuple[Sequence[Any], Mapping[str, Any]] | None  # None where there are no parentheses


def policy_from_factory(
    factory_name: str, place: CartPole | Backend, source_sha256: str | None = None
) -> Policy | CompiledPolicy:
    """The policy that MODULE:FACTORY returns; modules in the working directory are found too.

    The factory, a function or a class, is called with the arguments that are given, such as in
    ``dt.policy:load("checkpoints/mine", 450)``. Where none are, it is called without arguments if it needs
    none; else its only argument is the system (``CartPole``) in this package's environments, and the
    ``Backend`` in others, which has the spaces. It may return anything that ``adapters.as_policy`` takes.

    Args:
        factory_name: MODULE:FACTORY, or MODULE:FACTORY(ARGUMENTS) with numbers, strings and the like.
        place: where the policy is to act.
        source_sha256: the hash that the module's source must have, from ``factory_description``.

    Raises:
        InputError: if the module cannot be imported, has no such factory or another source, or if the
            factory raises an exception or returns no policy.
    """
    call = _call(factory_name)
    if source_sha256 is not None and source_sha256 != _source_sha256(factory_name):
        raise InputError(
            f"The source of {factory_name!r} is not the one that acted (sha256 {source_sha256}); "
            "get that version of the module."
        )
    try:
        policy = _made(call, place)
    except Exception as error:  # it is not this package's code, so it may raise anything
        raise InputError(
            f"Expected {factory_name!r} to return a policy when called with its arguments, without any, or "
            f"with the system or backend alone, but it raised {error!r:.200}; if it is the policy itself, "
            "name a function that returns it."
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
    _call(factory_name)
    return {"kind": "factory", "place": factory_name, "source_sha256": _source_sha256(factory_name)}


def _made(call: _Call, place: CartPole | Backend) -> Any:
    """What the factory returns."""
    if call.arguments is not None:
        positional, named = call.arguments
        return call.factory(*positional, **named)
    system = place if isinstance(place, CartPole) else place.system
    return call.factory() if _needs_nothing(call.factory) else call.factory(system or place)


def _call(text: str) -> _Call:
    """The function or class that a text names, and its arguments, which are literals.

    Raises:
        InputError: if it names none, or the arguments are something else.
    """
    module_name, _, rest = text.partition(":")
    name, arguments = _parsed(text, rest)
    factory: Any = getattr(_module(module_name), name, None)
    if not callable(factory):
        raise InputError(f"Module {module_name!r} has no function or class {name!r} to call.")
    return _Call(factory, arguments)


def _parsed(text: str, rest: str) -> tuple[str, tuple[Sequence[Any], Mapping[str, Any]] | None]:
    """Name and arguments of what stands behind the colon."""
    if "(" not in rest:
        return rest, None
    try:
        call = ast.parse(rest, mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        assert all(keyword.arg is not None for keyword in call.keywords)
        named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        return call.func.id, ([ast.literal_eval(argument) for argument in call.args], named)
    except (SyntaxError, ValueError, AssertionError) as error:
        raise InputError(
            "Expected MODULE:FACTORY, or MODULE:FACTORY(ARGUMENTS) with numbers, strings and the like, "
            f"such as 'dt.policy:load(\"checkpoints/mine\", 450)', got {text!r}."
        ) from error


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
    return import_user_module(
        name, "MODULE:FACTORY, with a module that can be imported from the working directory"
    )


def _needs_nothing(factory: Callable[..., Any]) -> bool:
    """Whether a factory can be called without arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return False
    except ValueError:  # built in, without a signature to look at
        return True
    return True


KINDS = (
    "a policy (a CompiledPolicy, an object with the methods begin and act, one with predict as "
    "Stable-Baselines3's models, or a function from observations to actions)"
)


class PredictPolicy:
    """A model with ``predict(observations, deterministic=True)`` that returns actions and a state.

    So do Stable-Baselines3's models. Where the state is not None the model is recurrent, and is given it
    again with the next observations.
    """

    def __init__(self, model: Any) -> None:
        """Act as the model does."""
        self._model = model
        self._memory: dict[str, Any] = {}

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Forget the state of earlier episodes."""
        self._memory = {}

    def act(self, observations: Array, rewards: FloatArray) -> ActionBatch:
        """The model's actions for observations (n, obs)."""
        actions, state = self._model.predict(observations, deterministic=True, **self._memory)
        if state is not None:
            self._memory = {"state": state, "episode_start": np.zeros(len(observations), np.bool_)}
        return ActionBatch(np.asarray(actions), {})


class FunctionPolicy:
    """A function from observations (n, obs) to actions (n, act) or (n,)."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        """Act as the function says."""
        self._function = function

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Nothing to forget."""

    def act(self, observations: Array, rewards: FloatArray) -> ActionBatch:
        """The function's actions for observations (n, obs).

        Raises:
            InputError: if the function raises an exception.
        """
        try:
            actions = self._function(observations)
        except Exception as error:  # it is not this package's code, so it may raise anything
            raise InputError(
                "Expected a function that takes a batch of observations, here of shape "
                f"{observations.shape}, and returns an action for each row, but it raised "
                f"{error_summary(error)}."
            ) from error
        return ActionBatch(np.asarray(actions), {})


def as_policy(given: Any) -> Policy | CompiledPolicy:
    """The policy behind anything that can act: see ``KINDS``.

    Raises:
        InputError: if it is none of them.
    """
    policy: Policy | CompiledPolicy
    if isinstance(given, type):
        raise InputError(f"Expected {KINDS}, got the class {given.__name__}; make an object of it.")
    if isinstance(given, CompiledPolicy) or _has(given, "begin", "act"):
        policy = given
    elif _has(given, "predict"):
        policy = PredictPolicy(given)
    elif callable(given):
        policy = FunctionPolicy(given)
    else:
        raise InputError(f"Expected {KINDS}, got {given!r:.60}.")
    return policy


def _has(given: Any, *names: str) -> bool:
    """Whether something has methods of these names."""
    return all(callable(getattr(given, name, None)) for name in names)


# The damped heuristic: measured to balance all of 64 episodes, also after a shove of 5 N for 0.2 s.
GAIN, DAMPING = 8.0, 1.0  # 1/rad, s/rad


_BALANCE: Mapping[str, Callable[[CartPole], CompiledPolicy]] = {
    "lqr": lambda system: regulator(system.params),
    "heuristic": lambda system: proportional(GAIN, system.continuous, DAMPING),
    "random": lambda system: uniform(),
}
_SWING_UP: Mapping[str, Callable[[CartPole], CompiledPolicy]] = {
    "swing-up": lambda system: swing_up(system.params),
    "random": _BALANCE["random"],
}
NAMES = tuple(dict.fromkeys((*_BALANCE, *_SWING_UP)))


def names_for(place: CartPole | Backend) -> tuple[str, ...]:
    """The names of the laws for a system's task or a backend, the best one first."""
    return tuple(_makers(_system(place)))


def named_policy(name: str | None, place: CartPole | Backend) -> Policy | CompiledPolicy:
    """The policy for a word, made for the place where it is to act.

    Args:
        name: one of ``names_for(place)``, None for the best of them, or MODULE:FACTORY, see
            ``policy_from_factory``.
        place: physics and task of this package's environments, or any backend.

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


def _system(place: CartPole | Backend) -> CartPole | None:
    """Physics and task of a place, None for backends that are not this package's."""
    return place if isinstance(place, CartPole) else place.system


def _makers(system: CartPole | None) -> Mapping[str, Callable[[CartPole], CompiledPolicy]]:
    """The laws that are known for a task, by name."""
    if system is None:
        return {"random": _BALANCE["random"]}
    return _SWING_UP if system.task.code == SWING_UP else _BALANCE
