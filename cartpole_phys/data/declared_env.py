"""The environment that an untrusted data set names, made only if that is safe.

Making an environment can import modules and open files, which the user decides, not the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from cartpole_phys.backends.base import Backend
from cartpole_phys.backends.resolve import OWN_MODULE, make_backend
from cartpole_phys.utils.errors import InputError, is_integer

MOST = 1_000  # of what each takes its time in every step
IN_A_STEP = re.compile("substep|skip|repeat")  # in what environments call its number


def declared_env(metadata: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Id and arguments of a data set's environment, as for ``gym.make``.

    Raises:
        InputError: if it names none, one of a module that is not imported yet, or arguments that name files
            or are above what a check has time for.
    """
    env_id, env_kwargs = metadata.get("env_id"), metadata.get("env_kwargs", {})
    if not isinstance(env_id, str) or not isinstance(env_kwargs, Mapping):
        raise InputError(
            "Expected a data set that names its environment, got one without; set the file's attribute "
            "env_id, or use a data set from: build-dataset"
        )
    _require_harmless(env_id, env_kwargs)
    return env_id, env_kwargs


def _require_harmless(env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Refuse an environment that would import a module, open a file, or run for too long.

    Raises:
        InputError: if it would.
    """
    module, _, name = env_id.removeprefix(OWN_MODULE).rpartition(":")
    if module and module not in sys.modules:
        raise InputError(
            f"The data set's environment {name!r} is in the module {module!r}, which is not imported because "
            "a file names it; import it yourself, then try again."
        )
    for key, number in env_kwargs.items():
        if IN_A_STEP.search(key) and is_integer(number) and number > MOST:
            raise InputError(
                f"The data set's environment is given {key} as {number}, above the {MOST:,} allowed for "
                "an untrusted file."
            )
    for text in _texts(env_kwargs):
        if text.startswith((".", "~")) or "/" in text or "\\" in text:
            raise InputError(
                f"The data set's environment is given the argument {text!r}, which may name a file; such an "
                "environment is not made for an untrusted file; make it yourself."
            )


def _texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def declared_backend(metadata: Mapping[str, Any]) -> Backend:
    """The environment that a data set names.

    Raises:
        InputError: if it names none, or one that cannot or must not be made for a file.
    """
    return make_backend(*declared_env(metadata))
