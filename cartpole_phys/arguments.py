"""What ``reset(seed=…, options=…)`` takes."""

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
from cartpole_phys.system import CLOCK
from cartpole_phys.task import START_BOUND
from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError, is_integer, is_number
from cartpole_phys.utils.typing import Flags, FloatArray

Seeds = int | Sequence[int | None] | None


class Start(NamedTuple):
    """Where episodes start: at random between bounds, or in given states."""

    low: float  # of each start variable (m, m/s, rad, rad/s), about rest upright or hanging
    high: float
    states: FloatArray | None = None  # (4, n): x (m), ẋ (m/s), θ (rad), θ̇ (rad/s)


LARGEST_START = 1e6  # m, m/s, rad, rad/s: up to here sines and cosines are within 1 ulp
SCALAR_OPTIONS = ("low", "high", "state")
VECTOR_OPTIONS = (*SCALAR_OPTIONS, "reset_mask")
PLAIN_START = Start(-START_BOUND, START_BOUND)


def parse_start(
    options: Mapping[str, Any] | None, num_envs: int, known: tuple[str, ...] = SCALAR_OPTIONS
) -> Start:
    """Where ``options`` let n environments start.

    ``low`` and ``high`` bound every start variable; ``state`` is (x, ẋ, θ, θ̇) for all environments, or an
    array (n, 4) with one for each.

    Args:
        options: as given to ``reset``.
        num_envs: n.
        known: the options that there are; one that was misspelt would else start episodes anywhere.

    Raises:
        InputError: if the options are no mapping or an unknown one is among them, the bounds are not finite
            numbers with low ≤ high, or the state is no array of finite numbers of shape (4,) or (n, 4).
    """
    if not isinstance(options, Mapping | None):
        raise InputError(f"Expected options as names and values, got {options!r}.")
    if not options:
        return PLAIN_START
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
    """States (4, n)."""
    try:
        states = np.asarray(given)
    except ValueError:
        states = np.empty(0)
    numbers = states.dtype.kind in "fiu" and states.shape in ((4,), (num_envs, 4))
    if not numbers or not np.isfinite(states).all():
        raise InputError(
            f"Expected options['state'] as finite (x, ẋ, θ, θ̇), or such rows of shape ({num_envs}, 4), "
            f"got {given!r}."
        )
    if (np.abs(states) > LARGEST_START).any():
        raise InputError(f"Expected options['state'] within ±{LARGEST_START:g}, got {given!r}.")
    rows = np.broadcast_to(states.astype(np.float64), (num_envs, 4))
    return np.ascontiguousarray(rows.T)  # (n, 4) -> (4, n)


def parse_mask(options: Mapping[str, Any] | None, num_envs: int) -> Flags:
    """Which environments ``options["reset_mask"]`` resets, shape (n,); all without it.

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
    """One seed per environment: from an int s the range that seeds environment i with s + i, else a list.

    Raises:
        InputError: on anything but integers of at least 0, or a list of the wrong length.
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
    if set(map(type, numbers)) <= {int} and min(numbers, default=0) >= 0:  # calls no function for each seed
        return seeds
    for own in numbers:
        _check_seed(own)
    return [None if own is None else int(own) for own in seeds]


def _check_seed(seed: Any) -> None:
    """Raises InputError on a seed of one environment that is no integer of at least 0."""
    if not (is_integer(seed) and seed >= 0):
        raise InputError(f"Expected seeds as integers of at least 0 or None, got {seed!r}.")


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


PARAM_OF = {  # CartPole-v1's name -> ours
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
    """An environment on which ``env.gravity = 5.0`` and the like raise instead of being ignored."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            InputError: on one that CartPole-v1 reads its physics from, or a physical parameter's name.
        """
        if name in REFUSED:  # one look-up, because environments set attributes at each step
            raise _refused(name, value)
        super().__setattr__(name, value)


def _refused(name: str, value: Any) -> InputError:
    """The error for one of ``REFUSED``, which says what to do instead."""
    if name == "tau" or PARAM_OF.get(name) == "time_step":
        return InputError(
            f"Cannot set {name!r} of a running environment; make another one with "
            f'params={{"time_step": {value!r}}}.'
        )
    if name in PARAM_OF:
        return InputError(
            f'Cannot set {name!r} by itself; set params = {{"{PARAM_OF[name]}": {value!r}}}, '
            'or with many environments set_attr("params", …).'
        )
    if name in DERIVED:
        return InputError(f"Cannot set {name!r}, which follows from params; set params instead.")
    return InputError(f"Cannot set {name!r} of a running environment; make another one instead.")
