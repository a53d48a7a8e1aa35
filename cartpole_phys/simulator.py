"""Physics and task together: the one step that environments and rollouts share.

States of n environments are a structure of arrays, float64 of shape (4, n): x (m), ẋ (m/s), θ (rad),
θ̇ (rad/s).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from cartpole_phys.compiled import inlined, kernel
from cartpole_phys.errors import InputError
from cartpole_phys.integrators import (
    EULER,
    SEMI_IMPLICIT_EULER,
    SYMPLECTIC_EULER,
    euler,
    integrator_code,
    rk4,
    semi_implicit_euler,
    symplectic_euler,
)
from cartpole_phys.physics import Constants, Params, State, unpack
from cartpole_phys.task import START_BOUND, Balance, has_fallen, push_force, start_state

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

ENTRY_POINT = "cartpole_phys.env:PhysCartPoleEnv"
ARGUMENTS = ("integrator", "params", "substeps", "push_rate", "push_size")


@inlined
def _move(
    integrate: Callable[..., State],
    states: FloatArray,
    forces: FloatArray,
    constants: Constants,
    substeps: int,
) -> None:
    """Advance every column of ``states`` in place with one integrator."""
    for _ in range(substeps):
        for i in range(states.shape[1]):
            states[0, i], states[1, i], states[2, i], states[3, i] = integrate(
                states[0, i], states[1, i], states[2, i], states[3, i], forces[i], constants
            )


@kernel
def step_states(
    states: FloatArray,
    forces: FloatArray,
    params: FloatArray,
    thresholds: FloatArray,
    integrator: int,
    substeps: int,
    fallen: npt.NDArray[np.bool_],
) -> None:
    """Advance every column of ``states`` by one time step in place and write which ones fell.

    One loop for each integrator, so that the compiler can vectorise each.
    """
    constants = unpack(params, substeps)
    if integrator == EULER:
        _move(euler, states, forces, constants, substeps)
    elif integrator == SEMI_IMPLICIT_EULER:
        _move(semi_implicit_euler, states, forces, constants, substeps)
    elif integrator == SYMPLECTIC_EULER:
        _move(symplectic_euler, states, forces, constants, substeps)
    else:
        _move(rk4, states, forces, constants, substeps)
    x_threshold, theta_threshold = thresholds[0], thresholds[1]
    for i in range(states.shape[1]):
        fallen[i] = has_fallen(states[0, i], states[2, i], x_threshold, theta_threshold)


@kernel
def start_states(
    states: FloatArray,
    keys: npt.NDArray[np.uint64],
    episodes: npt.NDArray[np.int64],
    mask: npt.NDArray[np.bool_],
    low: float,
    high: float,
) -> None:
    """Write the start states of the masked environments' episodes into the columns of ``states``."""
    for i in range(states.shape[1]):
        if mask[i]:
            states[0, i], states[1, i], states[2, i], states[3, i] = start_state(
                keys[i], episodes[i], low, high
            )


@kernel
def push_forces(
    pushes: FloatArray,
    keys: npt.NDArray[np.uint64],
    episodes: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    probability: float,
    size: float,
) -> None:
    """Write the random pushes (N) of the environments at their current steps."""
    for i in range(len(pushes)):
        pushes[i] = push_force(keys[i], episodes[i], steps[i], probability, size)


@kernel
def observe_states(states: FloatArray, observations: npt.NDArray[np.float32]) -> None:
    """Write what policies see of ``states`` (4, n) into ``observations`` (n, 4)."""
    for i in range(states.shape[1]):
        for j in range(4):
            observations[i, j] = states[j, i]


@dataclass(frozen=True)
class CartPole:
    """What one environment id with its keyword arguments means."""

    continuous: bool = True
    integrator: str = "semi_implicit_euler"
    params: Params = field(default_factory=Params)
    substeps: int = 1  # steps of integration to a time step
    push_rate: float = 0.0  # 1/s, how often a random push hits the cart; at most one push a step
    push_size: float = 10.0  # N, the largest push; a push lasts one time step
    task: Balance = field(default_factory=Balance)

    def __post_init__(self) -> None:
        integrator_code(self.integrator)
        if isinstance(self.substeps, bool) or not isinstance(self.substeps, int) or self.substeps < 1:
            raise InputError(f"Expected substeps as an integer of at least 1, got {self.substeps!r}.")
        for name, value in (("push_rate", self.push_rate), ("push_size", self.push_size)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise InputError(f"Expected {name} as a finite number of at least 0, got {value!r}.")
        if self.push_probability > 1:
            raise InputError(
                f"Expected push_rate of at most one push a step, {1 / self.params.time_step:g} a second, "
                f"got {self.push_rate:g}."
            )

    @staticmethod
    def known_ids() -> list[str]:
        """This package's registered environment ids."""
        return [env_id for env_id, spec in gymnasium.registry.items() if spec.entry_point == ENTRY_POINT]

    @classmethod
    def from_id(cls, env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> CartPole:
        """The system behind a registered environment id, with keyword arguments as for ``gym.make``.

        Raises:
            InputError: on an id that is not one of this package's, or an unknown keyword argument.
        """
        spec = gymnasium.registry.get(env_id)
        if spec is None or env_id not in cls.known_ids():
            raise InputError(f"Unknown environment {env_id!r}; choose from {', '.join(cls.known_ids())}.")
        unknown = sorted(set(env_kwargs or {}) - set(ARGUMENTS))
        if unknown:
            raise InputError(
                f"Unknown environment argument {unknown[0]!r}; choose from {', '.join(ARGUMENTS)}."
            )
        kwargs = {**spec.kwargs, **(env_kwargs or {})}
        params = Params.from_mapping(kwargs.pop("params", None))
        return cls(params=params, task=Balance(max_episode_steps=spec.max_episode_steps or 500), **kwargs)

    @cached_property
    def params_array(self) -> FloatArray:
        """Physical parameters as the kernels read them, shape (8,)."""
        return self.params.as_array()

    @cached_property
    def thresholds(self) -> FloatArray:
        """Where an episode ends: |x| in m and |θ| in rad, shape (2,)."""
        return np.array([self.task.x_threshold, self.task.theta_threshold])

    @cached_property
    def integrator_code(self) -> int:
        """The kernels' number for the integrator."""
        return integrator_code(self.integrator)

    def check_actions(self, actions: Any, num_envs: int) -> Array:
        """The actions that will be executed: float32 (n, 1) clipped to [−1, 1], or int64 (n,) of 0 and 1.

        Raises:
            InputError: on a wrong shape or kind of number, a number that is not finite, or an unknown
                discrete action.
        """
        given = np.asarray(actions)
        shape = (num_envs, 1) if self.continuous else (num_envs,)
        kinds = "fiu" if self.continuous else "iu"
        if given.shape != shape or given.dtype.kind not in kinds:
            wanted = "floats" if self.continuous else "integers"
            raise InputError(
                f"Expected actions as {wanted} of shape {shape}, got {given.dtype} of shape {given.shape}."
            )
        if self.continuous:
            if not np.isfinite(given).all():
                raise InputError(f"Expected finite actions in [-1, 1], got {given[~np.isfinite(given)][0]}.")
            return np.clip(given, -1.0, 1.0).astype(np.float32)
        if ((given != 0) & (given != 1)).any():
            raise InputError(f"Expected actions 0 or 1, got {given[(given != 0) & (given != 1)][0]}.")
        return given.astype(np.int64)

    def forces(self, actions: Array) -> FloatArray:
        """Forces on the cart in newtons, shape (n,), for actions from ``check_actions``."""
        if self.continuous:
            return actions[:, 0].astype(np.float64) * self.params.force_mag
        return np.where(actions == 1, self.params.force_mag, -self.params.force_mag)

    @property
    def push_probability(self) -> float:
        """Of a push during one time step."""
        return self.push_rate * self.params.time_step

    def pushes(
        self, keys: npt.NDArray[np.uint64], episodes: npt.NDArray[np.int64], steps: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Random pushes in newtons, (n,), of episodes (n,) at their steps (n,), counted from 0."""
        pushes = np.zeros(len(keys))
        if self.push_rate:
            push_forces(pushes, keys, episodes, steps, self.push_probability, float(self.push_size))
        return pushes

    def step(self, states: FloatArray, forces: FloatArray) -> npt.NDArray[np.bool_]:
        """Advance ``states`` (4, n) in place under ``forces`` (n,) and return which ones fell, (n,)."""
        fallen = np.empty(states.shape[1], dtype=np.bool_)
        step_states(
            states, forces, self.params_array, self.thresholds, self.integrator_code, self.substeps, fallen
        )
        return fallen

    def start(
        self,
        states: FloatArray,
        keys: npt.NDArray[np.uint64],
        episodes: npt.NDArray[np.int64],
        mask: npt.NDArray[np.bool_] | None = None,
        bounds: tuple[float, float] = (-START_BOUND, START_BOUND),
    ) -> None:
        """Write the start states of the given episodes into ``states`` (4, n), where ``mask`` is set."""
        mask = np.ones(states.shape[1], dtype=np.bool_) if mask is None else mask
        start_states(states, keys, episodes, mask, *bounds)


def observe(states: FloatArray) -> npt.NDArray[np.float32]:
    """What a policy sees of ``states`` (4, n): x, ẋ, θ, θ̇ in float32, shape (n, 4)."""
    observations = np.empty((states.shape[1], 4), dtype=np.float32)
    observe_states(states, observations)  # (4, n) -> (n, 4)
    return observations


def start_bounds(options: Mapping[str, Any] | None) -> tuple[float, float]:
    """The range of start states from ``reset(options={"low": …, "high": …})``.

    Raises:
        InputError: if the bounds are not finite numbers with low ≤ high.
    """
    options = options or {}
    low, high = options.get("low", -START_BOUND), options.get("high", START_BOUND)
    try:
        valid = bool(np.isfinite(low) and np.isfinite(high) and low <= high)
    except TypeError:
        valid = False
    if not valid:
        raise InputError(f"Expected options with finite low <= high, got low={low!r}, high={high!r}.")
    return float(low), float(high)
