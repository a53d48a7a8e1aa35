"""The definition of a task: start, reward, termination and observation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from cartpole_phys.numeric.compiled import inlined

START_BOUND = 0.05  # start variables are uniform in ± this (m, m/s, rad, rad/s), as in CartPole-v1
FEWEST_OBSERVATIONS = 4  # that control laws read

Reward = Callable[[float, float, float, float, float], float]
Observation = Callable[[float, float, float, float], tuple[np.float32, ...]]


@inlined
def unit_reward(x: float, x_dot: float, theta: float, theta_dot: float, action: float) -> float:
    """The reward of tasks that count steps: 1, also on the terminating step."""
    return 1.0


@inlined
def observe_state(
    x: float, x_dot: float, theta: float, theta_dot: float
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """The observation of tasks that show the state as it is: x, ẋ, θ, θ̇."""
    return np.float32(x), np.float32(x_dot), np.float32(theta), np.float32(theta_dot)


@inlined
def is_terminal(x: float, theta: float, x_threshold: float, theta_threshold: float) -> bool:
    """Whether the state is terminal: the cart left the track (m) or the pole tilted too far (rad)."""
    return (x < -x_threshold) | (x > x_threshold) | (theta < -theta_threshold) | (theta > theta_threshold)


@dataclass(frozen=True)
class Task:
    """Start, termination thresholds, time limit, reward and observation of a task.

    ``reward`` and ``observation`` are compiled into the kernels, so both are decorated with ``inlined``.
    Pickles hold the name of the task and its numbers: it must be in ``TASKS`` where they are loaded.

    Raises:
        ValueError: on fewer than four observations.
    """

    name: str
    reward: Reward = field(repr=False)  # (x, ẋ, θ, θ̇, action) -> float, of the state after the action
    observation: Observation = field(repr=False)  # (x, ẋ, θ, θ̇), with observation noise -> float32 tuple
    observation_bounds: tuple[float, ...]  # of the space, ± for each entry of the observation
    start_angle: float  # rad, about which the pole starts
    theta_threshold: float = math.inf  # rad; a larger |θ| terminates the episode
    x_threshold: float = 2.4  # m; a larger |x| terminates the episode
    max_episode_steps: int = 500
    controller: Literal["proportional", "swing_up"] | None = None  # the heuristic for it, if there is one

    def __post_init__(self) -> None:
        if self.observation_size < FEWEST_OBSERVATIONS:
            raise ValueError(
                f"Expected at least {FEWEST_OBSERVATIONS} observation_bounds, got {self.observation_size}; "
                "repeat an entry of the observation."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return _restored, (self.name, {key: value for key, value in own.items() if not callable(value)})

    @property
    def observation_size(self) -> int:
        """The number of entries of an observation."""
        return len(self.observation_bounds)

    @property
    def observes_state(self) -> bool:
        """Whether observations without noise are the state."""
        return self.observation is observe_state

    @property
    def counts_steps(self) -> bool:
        """Whether each reward is 1."""
        return self.reward is unit_reward

    @property
    def starts_hanging(self) -> bool:
        """Whether the pole hangs at the start, so that it needs to swing up."""
        return math.cos(self.start_angle) < 0.0


def _restored(name: str, numbers: Mapping[str, Any]) -> Task:
    """The task of a pickle."""
    from cartpole_phys.tasks import task_named

    return replace(task_named(name), **numbers)
