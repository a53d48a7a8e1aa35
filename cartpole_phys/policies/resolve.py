"""Policies by name, by MODULE:FACTORY(ARGUMENTS) in user code, or from models and functions."""

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
from cartpole_phys.utils.choices import choices, unknown
from cartpole_phys.utils.errors import InputError, error_summary
from cartpole_phys.utils.typing import Array, FloatArray


class _Call(NamedTuple):
    """A parsed MODULE:FACTORY(ARGUMENTS)."""

    factory: Callable[..., Any]
    arguments: tuple[Sequence[Any], Mapping[str, Any]] | None  # None without parentheses


def policy_from_factory(
    factory_name: str, environment: CartPole | Backend, source_sha256: str | None = None
) -> Policy | CompiledPolicy:
    """The policy that MODULE:FACTORY returns; the module may be in the working directory.

    The factory, a function or a class, is called with the given arguments, as in
    ``dt.policy:load("checkpoints/mine", 450)``. If none are given, it is called without arguments if
    possible; otherwise its only argument is the system (``CartPole``) in this package's environments, and
    the ``Backend``, which has the spaces, in others. It may return anything that ``as_policy`` accepts.

    Args:
        factory_name: MODULE:FACTORY, or MODULE:FACTORY(ARGUMENTS) with literal arguments.
        environment: the system or backend in which the policy acts.
        source_sha256: the required hash of the module's source, from ``factory_description``.

    Raises:
        InputError: if the module cannot be imported, does not contain the factory or has another source, or
            if the factory raises an exception or does not return a policy.
    """
    call = _call(factory_name)
    if source_sha256 is not None and source_sha256 != _source_sha256(factory_name):
        raise InputError(
            f"The source of {factory_name!r} differs from that of the behavior policy (sha256 "
            f"{source_sha256}); get that version of the module."
        )
    try:
        policy = _created(call, environment)
    except Exception as error:  # third-party code may raise anything
        raise InputError(
            f"Expected {factory_name!r} to return a policy when called with its arguments, without any, or "
            f"with the system or backend alone, but it raised {error!r:.200}; if it is the policy itself, "
            "name a function that returns it."
        ) from error
    try:
        return as_policy(policy)
    except InputError as error:
        raise InputError(f"Expected {factory_name!r} to return {ACCEPTED}, got {policy!r:.60}.") from error


def factory_description(factory_name: str) -> dict[str, str]:
    """The description of a behavior policy from MODULE:FACTORY, with a hash of the module's source file.

    Raises:
        InputError: if the module cannot be imported, does not contain the factory or has no source file.
    """
    _call(factory_name)
    return {"kind": "factory", "place": factory_name, "source_sha256": _source_sha256(factory_name)}


def _created(call: _Call, environment: CartPole | Backend) -> Any:
    """Call the factory."""
    if call.arguments is not None:
        positional, named = call.arguments
        return call.factory(*positional, **named)
    system = environment if isinstance(environment, CartPole) else environment.system
    return call.factory() if _takes_no_arguments(call.factory) else call.factory(system or environment)


def _call(text: str) -> _Call:
    """Import the function or class in a text, and parse its literal arguments.

    Raises:
        InputError: if the function or class does not exist, or the arguments are not literals.
    """
    module_name, _, rest = text.partition(":")
    name, arguments = _parsed(text, rest)
    factory: Any = getattr(_module(module_name), name, None)
    if not callable(factory):
        raise InputError(f"Module {module_name!r} has no function or class {name!r} to call.")
    return _Call(factory, arguments)


def _parsed(text: str, rest: str) -> tuple[str, tuple[Sequence[Any], Mapping[str, Any]] | None]:
    """Parse the name and the arguments after the colon."""
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
    """Hash of the source file of a factory's module."""
    module = _module(factory_name.partition(":")[0])
    path = getattr(module, "__file__", None)
    if path is None:
        raise InputError(f"Expected a module with a source file, but {module.__name__!r} has none.")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _module(name: str) -> Any:
    """Import a module by its name, including modules in the working directory."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    return import_user_module(
        name, "MODULE:FACTORY, with a module that can be imported from the working directory"
    )


def _takes_no_arguments(factory: Callable[..., Any]) -> bool:
    """Whether a factory can be called without arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


ACCEPTED = (
    "a policy (a CompiledPolicy, an object with the methods begin and act, one with predict as "
    "Stable-Baselines3's models, or a function from observations to actions)"
)


class PredictPolicy:
    """A model with ``predict(observations, deterministic=True)`` that returns actions and a state.

    Stable-Baselines3's models have this method. If the state is not None, the model is recurrent, and the
    state is passed with the next observations.
    """

    def __init__(self, model: Any) -> None:
        """Wrap a model."""
        self._model = model
        self._memory: dict[str, Any] = {}

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Clear the recurrent state."""
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
        """Wrap a function."""
        self._function = function

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Do nothing."""

    def act(self, observations: Array, rewards: FloatArray) -> ActionBatch:
        """The function's actions for observations (n, obs).

        Raises:
            InputError: if the function raises an exception.
        """
        try:
            actions = self._function(observations)
        except Exception as error:  # third-party code may raise anything
            raise InputError(
                "Expected a function that takes a batch of observations, here of shape "
                f"{observations.shape}, and returns an action for each row, but it raised "
                f"{error_summary(error)}."
            ) from error
        return ActionBatch(np.asarray(actions), {})


def as_policy(given: Any) -> Policy | CompiledPolicy:
    """Convert a policy, model or function to a policy; see ``ACCEPTED``.

    Raises:
        InputError: if it is none of them.
    """
    policy: Policy | CompiledPolicy
    if isinstance(given, type):
        raise InputError(f"Expected {ACCEPTED}, got the class {given.__name__}; make an object of it.")
    if isinstance(given, CompiledPolicy) or _has(given, "begin", "act"):
        policy = given
    elif _has(given, "predict"):
        policy = PredictPolicy(given)
    elif callable(given):
        policy = FunctionPolicy(given)
    else:
        raise InputError(f"Expected {ACCEPTED}, got {given!r:.60}.")
    return policy


def _has(given: Any, *names: str) -> bool:
    """Whether an object has methods with these names."""
    return all(callable(getattr(given, name, None)) for name in names)


# With these gains the heuristic balanced in all of 64 measured episodes, also after a push of 5 N for 0.2 s.
GAIN, DAMPING = 8.0, 1.0  # 1/rad, s/rad


_RANDOM: Mapping[str, Callable[[CartPole], CompiledPolicy]] = {"random": lambda system: uniform()}
_LAWS: Mapping[str | None, Mapping[str, Callable[[CartPole], CompiledPolicy]]] = {  # by a task's controller
    "proportional": {
        "lqr": lambda system: regulator(system.params),
        "heuristic": lambda system: proportional(GAIN, system.continuous, DAMPING),
        **_RANDOM,
    },
    "swing_up": {"swing-up": lambda system: swing_up(system.params), **_RANDOM},
    None: _RANDOM,
}
NAMES = tuple(dict.fromkeys(name for laws in _LAWS.values() for name in laws))


def names_for(environment: CartPole | Backend) -> tuple[str, ...]:
    """Names of the policies for a system's task or a backend, best first."""
    return tuple(_constructors(_system(environment)))


def named_policy(name: str | None, environment: CartPole | Backend) -> Policy | CompiledPolicy:
    """The policy with a name, for a system or backend.

    Args:
        name: one of ``names_for(environment)``, None for the first of them, or MODULE:FACTORY, see
            ``policy_from_factory``.
        environment: the system of one of this package's environments, or any backend.

    Raises:
        InputError: on a name that is unknown or belongs to another task, or a factory that does not exist,
            raises an exception or does not return a policy.
    """
    system, names = _system(environment), names_for(environment)
    name = names[0] if name is None else name
    if ":" in name:
        return policy_from_factory(name, environment)
    if name not in names:
        others = ", a data set's FILE or MODULE:FACTORY"
        if name in NAMES:
            raise InputError(f"Policy {name!r} does not support this task; {choices(name, names, others)}")
        raise unknown("policy", name, names, others)
    return uniform() if system is None else _constructors(system)[name](system)


def _system(environment: CartPole | Backend) -> CartPole | None:
    """The system; None for environments of other packages."""
    return environment if isinstance(environment, CartPole) else environment.system


def _constructors(system: CartPole | None) -> Mapping[str, Callable[[CartPole], CompiledPolicy]]:
    """The policies for a task, by name."""
    return _LAWS[None if system is None else system.task.controller]
