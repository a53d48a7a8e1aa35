"""``CartPole``: physics and task of an environment id with its keyword arguments, validated for kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypedDict

import gymnasium
import numpy as np

from cartpole_phys.kernels.integrators import integrator_code
from cartpole_phys.kernels.layout import LARGEST_INTEGER, SETTINGS, Settings
from cartpole_phys.physics import Params
from cartpole_phys.registration import ENVIRONMENTS
from cartpole_phys.spaces import ActionSpace, action_space
from cartpole_phys.tasks import task_named
from cartpole_phys.tasks.balance import BALANCE
from cartpole_phys.tasks.base import Task
from cartpole_phys.utils.choices import choices, unknown
from cartpole_phys.utils.errors import InputError, UnexpectedArgumentError, is_integer, is_number

PARAM_NAMES = tuple(field.name for field in fields(Params))
FRICTION = "cart_friction"
TIME_STEP = "time_step"  # the only parameter that is the same in all environments and episodes


class Arguments(TypedDict, total=False):
    """Keyword arguments of every environment id; see ``PhysCartPoleEnv``."""

    integrator: str
    params: Mapping[str, Any]
    substeps: int
    push_rate: float
    push_size: float
    randomize: Mapping[str, Sequence[float]]
    observation_noise: float | Sequence[float]
    diagnostics: bool


ARGUMENTS = tuple(Arguments.__annotations__)


@dataclass(frozen=True)
class CartPole:
    """Physics and task of one kind of environment.

    Raises:
        InputError: on a value out of range.
    """

    continuous: bool = True
    integrator: str = "semi_implicit_euler"
    params: Params = field(default_factory=Params)
    substeps: int = 1  # integration steps per time step
    push_rate: float = 0.0  # 1/s, frequency of random pushes on the cart; at most one push per step
    push_size: float = 10.0  # N, the largest push; a push lasts one time step
    randomize: tuple[tuple[str, float, float], ...] = ()  # parameter, lowest, highest
    observation_noise: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # half-widths, in m, m/s, rad, rad/s
    diagnostics: bool = False  # whether infos hold energy and margins
    task: Task = BALANCE

    def __post_init__(self) -> None:
        integrator_code(self.integrator)
        if not is_integer(self.substeps) or not 1 <= self.substeps <= LARGEST_INTEGER:
            raise InputError(f"Expected substeps as an integer from 1 to 2**63 - 1, got {self.substeps!r}.")
        for name, flag in (("continuous", self.continuous), ("diagnostics", self.diagnostics)):
            if not isinstance(flag, bool):
                raise InputError(f"Expected {name} as True or False, got {flag!r}.")
        for name, value in (("push_rate", self.push_rate), ("push_size", self.push_size)):
            if not is_number(value) or not 0 <= value < math.inf:
                raise InputError(f"Expected {name} as a finite number of at least 0, got {value!r}.")
        if self.push_probability > 1:
            raise InputError(
                f"Expected push_rate of at most one push per step, {1 / self.params.time_step:g} per second, "
                f"got {self.push_rate:g}."
            )

    @staticmethod
    def known_ids() -> list[str]:
        """This package's environment ids; other ids registered with its classes may have wrappers."""
        return list(ENVIRONMENTS)

    @classmethod
    def from_arguments(
        cls,
        task: str,
        continuous: bool,
        arguments: Mapping[str, Any],
        max_episode_steps: int | None = None,
    ) -> CartPole:
        """The system for a task name and the keyword arguments of ``gym.make``.

        Raises:
            UnexpectedArgumentError: on an unknown argument, an ``InputError`` and a ``TypeError``.
            InputError: on a value out of range.
        """
        others = sorted(set(arguments) - set(ARGUMENTS))
        if others:
            raise UnexpectedArgumentError(
                f"The environment got an unexpected keyword argument {others[0]!r}; "
                f"{choices(others[0], ARGUMENTS)}"
            )
        values, own = dict(arguments), task_named(task)
        params = Params.from_mapping(values.pop("params", None))
        return cls(
            continuous=continuous,
            params=params,
            randomize=_ranges(values.pop("randomize", None), params),
            observation_noise=_noise(values.pop("observation_noise", 0.0)),
            task=replace(own, max_episode_steps=max_episode_steps or own.max_episode_steps),
            **values,
        )

    @classmethod
    def from_id(cls, env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> CartPole:
        """The system of a registered environment id, with keyword arguments as for ``gym.make``.

        Raises:
            InputError: on an id of another package, or an invalid keyword argument.
        """
        spec = gymnasium.registry.get(env_id)
        if spec is None or env_id not in cls.known_ids():
            raise unknown("environment", env_id, cls.known_ids())
        own = dict(spec.kwargs)
        return cls.from_arguments(
            own.pop("task"), own.pop("continuous"), {**own, **(env_kwargs or {})}, spec.max_episode_steps
        )

    @property
    def push_probability(self) -> float:
        """The probability of a push during one time step."""
        return self.push_rate * self.params.time_step

    def randomizes(self, name: str) -> bool:
        """Whether a parameter is drawn for each episode."""
        return any(name == drawn for drawn, _, _ in self.randomize)

    @property
    def noisy(self) -> bool:
        """Whether observations differ from the state."""
        return any(self.observation_noise)

    @property
    def plain(self) -> bool:
        """Whether there are neither observation noise nor random pushes."""
        return not self.noisy and not self.push_rate

    @property
    def observes_state(self) -> bool:
        """Whether observations are the state."""
        return self.task.observes_state and not self.noisy

    @property
    def has_infos(self) -> bool:
        """Whether infos are nonempty."""
        return bool(self.push_rate or self.randomize or self.diagnostics)

    @cached_property
    def settings(self) -> Settings:
        """The settings array of the kernels, shape (1,); copy it before changing it."""
        settings = np.zeros(1, dtype=SETTINGS)
        own = settings[0]
        own["integrator"] = integrator_code(self.integrator)
        own["substeps"], own["max_episode_steps"] = self.substeps, self.task.max_episode_steps
        own["start_angle"] = self.task.start_angle
        own["x_threshold"], own["theta_threshold"] = self.task.x_threshold, self.task.theta_threshold
        own["push_probability"], own["push_size"] = self.push_probability, self.push_size
        own["noisy"], own["noise"] = self.noisy, self.observation_noise
        own["randomized"] = bool(self.randomize)
        own["lowest"] = own["highest"] = np.nan
        for name, lowest, highest in self.randomize:
            own["lowest"][PARAM_NAMES.index(name)] = lowest
            own["highest"][PARAM_NAMES.index(name)] = highest
        return settings

    @cached_property
    def action_space(self) -> ActionSpace:
        """The action space of one environment; environments have copies, which can be seeded."""
        return action_space(self.continuous)


def _ranges(randomize: Any, params: Params) -> tuple[tuple[str, float, float], ...]:
    """Parse ``randomize`` into (parameter, lowest, highest), in field order.

    Raises:
        InputError: unless it maps names to two numbers [low, high] within the parameter's range.
    """
    if not isinstance(randomize, Mapping | None):
        raise InputError(f'Expected randomize like {{"pole_mass": [0.05, 0.2]}}, got {randomize!r}.')
    ranges = dict(randomize or {})
    if TIME_STEP in ranges:
        raise InputError(
            f"Cannot randomize {TIME_STEP!r}, which is the same in all episodes; set it in params."
        )
    for name, ends in ranges.items():
        if not isinstance(ends, (list, tuple)) or len(ends) != 2 or not all(map(is_number, ends)):
            raise InputError(f"Expected randomize[{name!r}] as two numbers [low, high], got {ends!r}.")
        for value in ends:
            Params.from_mapping({name: value})
        if ends[0] > ends[1]:
            raise InputError(f"Expected randomize[{name!r}] with low <= high, got {ends!r}.")
    return tuple(
        (name, float(ranges[name][0]), float(ranges[name][1])) for name in PARAM_NAMES if name in ranges
    )


def _noise(noise: Any) -> tuple[float, ...]:
    """Parse the half-widths of the observation noise.

    Raises:
        InputError: unless it is one number or four, finite and at least 0.
    """
    values = (noise,) * 4 if is_number(noise) else noise
    if (
        not isinstance(values, (list, tuple))
        or len(values) != 4
        or not all(is_number(value) and 0 <= value < math.inf for value in values)
    ):
        raise InputError(
            "Expected observation_noise as one number or four (for x, ẋ, θ, θ̇), finite and at least 0, "
            f"got {noise!r}."
        )
    return tuple(map(float, values))
