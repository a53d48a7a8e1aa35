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

from cartpole_phys.errors import InputError
from cartpole_phys.policies.adapters import KINDS, as_policy
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.system import CartPole
from cartpole_phys.worlds.making import imported
from cartpole_phys.worlds.world import World


class _Call(NamedTuple):
    """What MODULE:FACTORY(ARGUMENTS) says."""

    factory: Callable[..., Any]
    arguments: tuple[Sequence[Any], Mapping[str, Any]] | None  # None where there are no parentheses


def policy_from_factory(
    factory_name: str, place: CartPole | World, source_sha256: str | None = None
) -> Policy | CompiledPolicy:
    """The policy that MODULE:FACTORY returns; modules in the working directory are found too.

    The factory, a function or a class, is called with the arguments that are given, such as in
    ``dt.policy:load("checkpoints/mine", 450)``. Where none are, it is called without arguments if it needs
    none; else its only argument is the system (``CartPole``) in this package's environments, and the
    ``World`` in others, which has the spaces. It may return anything that ``adapters.as_policy`` takes.

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
            f"with the system or world alone, but it raised {error!r:.200}; if it is the policy itself, "
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


def _made(call: _Call, place: CartPole | World) -> Any:
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
    return imported(name, "MODULE:FACTORY, with a module that can be imported from the working directory")


def _needs_nothing(factory: Callable[..., Any]) -> bool:
    """Whether a factory can be called without arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return False
    except ValueError:  # built in, without a signature to look at
        return True
    return True
