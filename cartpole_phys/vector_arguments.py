"""The arguments that only vector environments take, and arguments as JSON can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from cartpole_phys.choices import unknown
from cartpole_phys.errors import InputError, is_integer
from cartpole_phys.memory import LARGEST_INTEGER
from cartpole_phys.physics import Params
from cartpole_phys.system import CLOCK

VECTOR_ONLY = ("num_envs", "vectorization_mode", "autoreset_mode", "max_episode_steps")
NO_LIMIT = -1  # of steps, as for ``gym.make``


def parse_autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    """The autoreset mode for its name.

    Raises:
        InputError: if there is no mode of that name.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise unknown("autoreset mode", mode, [str(known.value) for known in AutoresetMode]) from None


def parse_limit(max_episode_steps: Any) -> int:
    """The number of steps after which episodes are truncated; −1 means none, as for ``gym.make``.

    Raises:
        InputError: on anything but −1 or an integer from 1 to 2**63 - 1.
    """
    if is_integer(max_episode_steps):
        if max_episode_steps == NO_LIMIT:
            return LARGEST_INTEGER
        if 1 <= max_episode_steps <= LARGEST_INTEGER:
            return int(max_episode_steps)
    raise InputError(
        f"Expected max_episode_steps from 1 to 2**63 - 1, or -1 for none, got {max_episode_steps!r}."
    )


def parse_params(params: Any, num_envs: int) -> list[Params]:
    """One set of parameters for all environments, or where a value is a list, one set for each.

    Raises:
        InputError: on an unknown name, a list of the wrong length, or a number out of its range.
    """
    if not isinstance(params, Mapping):
        return [Params.from_mapping(params)]
    lists = {name: value for name, value in params.items() if isinstance(value, (list, tuple, np.ndarray))}
    for name, values in lists.items():
        if name == CLOCK:
            raise InputError(f"Expected one {CLOCK} for all environments, got {values!r}.")
        if len(values) != num_envs:
            raise InputError(f"Expected params[{name!r}] with {num_envs} numbers, got {len(values)}.")
    if not lists:
        return [Params.from_mapping(params)]
    return [
        Params.from_mapping({**params, **{name: values[i] for name, values in lists.items()}})
        for i in range(num_envs)
    ]


def spec_of_one(spec: EnvSpec | None) -> EnvSpec | None:
    """What ``gym.make`` makes one of the environments from; lists of parameters stay lists."""
    if spec is None:
        return None
    kwargs = {name: value for name, value in spec.kwargs.items() if name not in VECTOR_ONLY}
    limit = spec.kwargs.get("max_episode_steps", spec.max_episode_steps)
    return replace(spec, kwargs=kwargs, max_episode_steps=limit)


def plain(value: Any) -> Any:
    """A keyword argument as JSON can hold it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
