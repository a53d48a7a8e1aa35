"""Validation of the arguments of ``reset``, ``gym.make`` and ``gym.make_vec``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from cartpole_phys.kernels.layout import LARGEST_INTEGER
from cartpole_phys.physics import Params
from cartpole_phys.system import TIME_STEP
from cartpole_phys.tasks.base import START_BOUND
from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError, is_integer, is_number
from cartpole_phys.utils.typing import Flags, FloatArray

Seeds = int | Sequence[int | None] | None


class Start(NamedTuple):
    """Distribution of start states: uniform between bounds, or fixed states."""

    low: float  # of each start variable (m, m/s, rad, rad/s), relative to rest, upright or hanging
    high: float
    states: FloatArray | None = None  # (4, n): x (m), ẋ (m/s), θ (rad), θ̇ (rad/s)


LARGEST_START = 1e6  # m, m/s, rad, rad/s: sines and cosines are within 1 ulp up to here
SCALAR_OPTIONS = ("low", "high", "state")
VECTOR_OPTIONS = (*SCALAR_OPTIONS, "reset_mask")
DEFAULT_START = Start(-START_BOUND, START_BOUND)


def parse_start(
    options: Mapping[str, Any] | None, num_envs: int, known: tuple[str, ...] = SCALAR_OPTIONS
) -> Start:
    """Parse the start-state options of n environments.

    ``low`` and ``high`` bound every start variable; ``state`` is (x, ẋ, θ, θ̇) for all environments, or an
    array (n, 4) with one row per environment.

    Args:
        options: as given to ``reset``.
        num_envs: n.
        known: the supported options; others are rejected, because a misspelled option would be ignored.

    Raises:
        InputError: if the options are not a mapping or include an unknown one, the bounds are not finite
            numbers with low ≤ high, or the state is not an array of finite numbers of shape (4,) or (n, 4).
    """
    if not isinstance(options, Mapping | None):
        raise InputError(f"Expected options as names and values, got {options!r}.")
    if not options:
        return DEFAULT_START
    others = [name for name in options if name not in known]
    if others:
        raise unknown("reset option", others[0], known)
    low, high = options.get("low", -START_BOUND), options.get("high", START_BOUND)
    if not (is_number(low) and is_number(high) and -math.inf < low <= high < math.inf):
        raise InputError(f"Expected options with finite low <= high, got low={low!r}, high={high!r}.")
    if max(-low, high) > LARGEST_START:
        raise InputError(
            f"Expected options low and high within ±{LARGEST_START:g}, got low={low!r}, high={high!r}."
        )
    states = _states(options["state"], num_envs) if "state" in options else None
    return Start(float(low), float(high), states)


def _states(given: Any, num_envs: int) -> FloatArray:
    """Parse given states (4,) or (n, 4) into an array (4, n)."""
    try:
        states = np.asarray(given)
    except ValueError:
        states = np.empty(0)
    numbers = states.dtype.kind in "fiu" and states.shape in ((4,), (num_envs, 4))
    if not numbers or not np.isfinite(states).all():
        raise InputError(
            f"Expected options['state'] as four finite numbers (x, ẋ, θ, θ̇), or an array of shape "
            f"({num_envs}, 4), got {given!r}."
        )
    if (np.abs(states) > LARGEST_START).any():
        raise InputError(f"Expected options['state'] within ±{LARGEST_START:g}, got {given!r}.")
    rows = np.broadcast_to(states.astype(np.float64), (num_envs, 4))
    return np.ascontiguousarray(rows.T)  # (n, 4) -> (4, n)


def parse_mask(options: Mapping[str, Any] | None, num_envs: int) -> Flags:
    """The mask of environments to reset, shape (n,): ``options["reset_mask"]``, or all without it.

    Raises:
        InputError: if the mask is not a bool array of shape (n,) with at least one True.
    """
    if not options or "reset_mask" not in options:
        return np.ones(num_envs, dtype=np.bool_)
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
        raise InputError(f"Expected reset_mask as a bool array of shape ({num_envs},), got {got}.")
    if not mask.any():
        raise InputError("Expected reset_mask with at least one True, got none.")
    return mask


def parse_seeds(seed: Seeds, num_envs: int) -> Sequence[int | None]:
    """One seed per environment: for an int s, the range that seeds environment i with s + i; else a list.

    Raises:
        InputError: unless all seeds are integers of at least 0 (or None), in a list of the right length.
    """
    if seed is None:
        return [None] * num_envs
    if is_integer(seed):
        _check_seed(seed)
        return range(int(seed), int(seed) + num_envs)
    if isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
        raise InputError(f"Expected one seed or {num_envs} seeds, got {seed!r}.")
    if len(seed) != num_envs:
        raise InputError(f"Expected one seed or {num_envs} seeds, got {len(seed)}.")
    seeds: list[Any] = seed.tolist() if isinstance(seed, np.ndarray) else list(seed)
    numbers = [own for own in seeds if own is not None] if None in seeds else seeds
    if set(map(type, numbers)) <= {int} and min(numbers, default=0) >= 0:  # no call per seed
        return seeds
    for own in numbers:
        _check_seed(own)
    return [None if own is None else int(own) for own in seeds]


def _check_seed(seed: Any) -> None:
    """Check one environment's seed.

    Raises:
        InputError: unless it is an integer of at least 0.
    """
    if not (is_integer(seed) and seed >= 0):
        raise InputError(f"Expected seeds as integers of at least 0 or None, got {seed!r}.")


VECTOR_ONLY = ("num_envs", "vectorization_mode", "autoreset_mode", "max_episode_steps")
NO_LIMIT = -1  # of steps, as for ``gym.make``


def parse_autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    """The autoreset mode with this name.

    Raises:
        InputError: if no mode has this name.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise unknown("autoreset mode", mode, [str(known.value) for known in AutoresetMode]) from None


def parse_limit(max_episode_steps: Any) -> int:
    """The time limit in steps; −1 means no limit, as for ``gym.make``.

    Raises:
        InputError: unless it is −1 or an integer from 1 to 2**63 - 1.
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
    """One set of parameters for all environments, or one per environment if any value is a list.

    Raises:
        InputError: on an unknown name, a list of the wrong length, or a number out of its range.
    """
    if not isinstance(params, Mapping):
        return [Params.from_mapping(params)]
    lists = {name: value for name, value in params.items() if isinstance(value, (list, tuple, np.ndarray))}
    for name, values in lists.items():
        if name == TIME_STEP:
            raise InputError(f"Expected one {TIME_STEP} for all environments, got {values!r}.")
        if len(values) != num_envs:
            raise InputError(f"Expected params[{name!r}] with {num_envs} numbers, got {len(values)}.")
    if not lists:
        return [Params.from_mapping(params)]
    return [
        Params.from_mapping({**params, **{name: values[i] for name, values in lists.items()}})
        for i in range(num_envs)
    ]


def single_env_spec(spec: EnvSpec | None) -> EnvSpec | None:
    """The spec of a single environment of a vector environment; lists of parameters stay lists."""
    if spec is None:
        return None
    kwargs = {name: value for name, value in spec.kwargs.items() if name not in VECTOR_ONLY}
    limit = spec.kwargs.get("max_episode_steps", spec.max_episode_steps)
    return replace(spec, kwargs=kwargs, max_episode_steps=limit)


def json_value(value: Any) -> Any:
    """Convert a keyword argument to JSON types."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


PARAM_OF = {  # CartPole-v1's attribute -> parameter of this package
    "masscart": "cart_mass",
    "masspole": "pole_mass",
    "length": "half_length",
    "tau": "time_step",
    **{field.name: field.name for field in fields(Params)},
}
DERIVED = ("total_mass", "polemass_length")
FIXED = ("kinematics_integrator", "theta_threshold_radians", "x_threshold")
REFUSED = frozenset((*PARAM_OF, *DERIVED, *FIXED))


class NoPhysicsAttributes:
    """Mixin that makes ``env.gravity = 5.0`` and the like raise instead of having no effect."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            InputError: if the attribute is a physics attribute of CartPole-v1 or a physical parameter.
        """
        if name in REFUSED:  # one look-up, because environments set attributes at every step
            raise _refused(name, value)
        super().__setattr__(name, value)


def _refused(name: str, value: Any) -> InputError:
    """The error for setting one of ``REFUSED``, with the alternative."""
    if name == "tau" or PARAM_OF.get(name) == "time_step":
        return InputError(
            f"Cannot set {name!r} of an existing environment; make a new one with "
            f'params={{"time_step": {value!r}}}.'
        )
    if name in PARAM_OF:
        return InputError(
            f'Cannot set {name!r} directly; set params = {{"{PARAM_OF[name]}": {value!r}}}, '
            'or call set_attr("params", …) of a vector environment.'
        )
    if name in DERIVED:
        return InputError(f"Cannot set {name!r}, which is derived from params; set params instead.")
    return InputError(f"Cannot set {name!r} of an existing environment; make a new one instead.")
