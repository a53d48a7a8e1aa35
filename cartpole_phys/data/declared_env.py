"""Creation of the environment named in an untrusted data set, restricted to safe ones.

Creating an environment can import modules and open files, which must be the user's decision.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from cartpole_phys.backends.base import Backend
from cartpole_phys.backends.resolve import OWN_MODULE, make_backend
from cartpole_phys.utils.errors import InputError, is_integer

MAX_SUBSTEPS = 1_000  # per environment step, which bounds the time of a check
SUBSTEPS = re.compile("substep|skip|repeat")  # in the names of arguments that set their number


def declared_env(metadata: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Id and keyword arguments for ``gym.make`` of a data set's environment.

    Raises:
        InputError: if it names none, one of a module that is not imported yet, or arguments that name files
            or request too many substeps.
    """
    env_id, env_kwargs = metadata.get("env_id"), metadata.get("env_kwargs", {})
    if not isinstance(env_id, str) or not isinstance(env_kwargs, Mapping):
        raise InputError(
            "Expected a data set with an environment id, got none; set the file's root attribute env_id, "
            "or use a data set from: build-dataset"
        )
    _require_safe(env_id, env_kwargs)
    return env_id, env_kwargs


def _require_safe(env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Reject an environment that could import a module, open a file or run for too long.

    Raises:
        InputError: if it could.
    """
    module, _, name = env_id.removeprefix(OWN_MODULE).rpartition(":")
    if module and module not in sys.modules:
        raise InputError(
            f"The data set's environment {name!r} is in the module {module!r}, which is not imported for "
            "an untrusted file; import it yourself, then try again."
        )
    for key, number in env_kwargs.items():
        if SUBSTEPS.search(key) and is_integer(number) and number > MAX_SUBSTEPS:
            raise InputError(
                f"Expected at most {MAX_SUBSTEPS:,} as {key} of the data set's environment, the limit for an "
                f"untrusted file, got {number}."
            )
    for text in _texts(env_kwargs):
        if text.startswith((".", "~")) or "/" in text or "\\" in text:
            raise InputError(
                f"The data set's environment has the argument {text!r}, which may name a file; such an "
                "environment is not created for an untrusted file; create it yourself."
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
    """Create the environment named in a data set's metadata.

    Raises:
        InputError: if it names none, or one that cannot be created or is not allowed for an untrusted file.
    """
    return make_backend(*declared_env(metadata))
