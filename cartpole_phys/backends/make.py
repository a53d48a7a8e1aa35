"""Creation of any Gymnasium environment, without warnings and with one-line errors."""

from __future__ import annotations

import copy
import importlib
import json
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from types import ModuleType
from typing import Any

import gymnasium as gym
from gymnasium import error
from gymnasium.envs.registration import EnvSpec

from cartpole_phys.numeric.compiled import source_hash
from cartpole_phys.system import CartPole
from cartpole_phys.utils.choices import choices, nearest
from cartpole_phys.utils.errors import InputError, error_summary

Env = gym.Env[Any, Any]

NOT_FOR_DATA = ("render_mode", "disable_env_checker")  # arguments of ``gym.make`` that change no data
MUJOCO_MODULE = "gymnasium.envs.mujoco"
MUJOCO_EXTRA = 'pip install "cartpole-phys[mujoco]"'


_alone = threading.RLock()


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Suppress warnings of Gymnasium about old ids, and of MuJoCo, which also writes them to a file.

    One thread at a time: Python's filters and MuJoCo's handler are global, and replacing a handler while
    MuJoCo calls it crashes the process.
    """
    mujoco: Any = sys.modules.get("mujoco")
    with _alone, warnings.catch_warnings():
        handler = mujoco.get_mju_user_warning() if mujoco else None
        warnings.simplefilter("ignore")
        if mujoco:
            mujoco.set_mju_user_warning(lambda message: None)
        try:
            yield
        finally:
            if mujoco:
                mujoco.set_mju_user_warning(handler)


def find_spec(env_id: str) -> EnvSpec:
    """The registered spec of an id; for ``"module:Id-v0"`` the module is imported first.

    Raises:
        InputError: if there is no such environment (the message lists similar ids and this package's), or the
            module cannot be imported.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        with suppress_warnings():
            import_user_module(module, "MODULE:ID, with a module that can be imported")
    try:
        with suppress_warnings():
            return gym.spec(name)
    except (error.Error, ImportError, ValueError) as reason:
        own = CartPole.known_ids()
        known = [*own, *(similar for similar in nearest(env_id, gym.registry) if similar not in own)]
        others = ", or any other id registered with Gymnasium"
        raise InputError(
            f"Unknown environment {env_id!r} ({' '.join(str(reason).split())}); "
            f"{choices(env_id, known, others)}"
        ) from reason


def import_user_module(module: str, expected: str) -> ModuleType:
    """Import a user's module by its name.

    Raises:
        InputError: if it cannot be imported for any reason; the message contains the reason and ``expected``.
    """
    try:
        return importlib.import_module(module)
    except Exception as reason:  # third-party code may raise anything
        raise InputError(
            f"Cannot import the module {module!r} ({error_summary(reason)}); expected {expected}."
        ) from reason


def spec_json(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Gymnasium's JSON spec of an environment, readable by ``EnvSpec.from_json``.

    Raises:
        InputError: if there is no such environment, or its spec cannot be expressed in JSON.
    """
    spec = copy.deepcopy(find_spec(env_id))
    spec.kwargs.update(env_kwargs)
    try:
        written: dict[str, Any] = json.loads(spec.to_json())
    except (TypeError, ValueError) as reason:
        raise InputError(
            f"Expected environment {env_id!r} with a spec and arguments that JSON can hold, as in "
            f"entry_point='module:Class', since data sets store them ({reason})."
        ) from reason
    return written


def make(spec: EnvSpec, env_kwargs: Mapping[str, Any]) -> Env:
    """Create one environment, without Gymnasium's checks in every step.

    Raises:
        InputError: if a required module is missing, or the arguments are invalid.
    """
    for name in NOT_FOR_DATA:
        if name in env_kwargs:
            raise InputError(f"Environment argument {name!r} does not affect the data; omit it.")
    try:
        _import_entry_point(spec)
        with suppress_warnings():
            return gym.make(spec, disable_env_checker=True, **env_kwargs)
    except error.DependencyNotInstalled as reason:
        of_mujoco = str(spec.entry_point).startswith(MUJOCO_MODULE)
        advice = f"install it with: {MUJOCO_EXTRA}" if of_mujoco else str(reason)
        raise InputError(
            f"Environment {spec.id!r} needs a module that is not installed; {advice}"
        ) from reason
    except Exception as reason:  # third-party code may raise anything
        given = f" with the arguments {dict(env_kwargs)}" if env_kwargs else ""
        raise InputError(
            f"Environment {spec.id!r} cannot be made{given}: {' '.join(str(reason).split())[:300]}"
        ) from reason


def _import_entry_point(spec: EnvSpec) -> None:
    """Import the environment's module first (and with it MuJoCo, whose warnings can then be suppressed)."""
    if isinstance(spec.entry_point, str):
        with suppress_warnings():
            importlib.import_module(spec.entry_point.partition(":")[0])


def physics_versions(env_id: str) -> dict[str, str]:
    """Versions of this package's kernels, and of MuJoCo for its environments.

    Raises:
        InputError: if there is no such environment.
    """
    versions = {"kernels": source_hash()}
    if str(find_spec(env_id).entry_point).startswith(MUJOCO_MODULE):
        versions["mujoco"] = metadata.version("mujoco")
    return versions
