"""The environment ids of this package. Imports nothing, since importing the package registers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Registration(NamedTuple):
    """What an environment id stands for."""

    task: str  # a name in ``tasks.TASKS``
    continuous: bool = True
    max_episode_steps: int = 500
    reward_threshold: float | None = None  # the return from which the task counts as solved


ENVIRONMENTS: Mapping[str, Registration] = {
    "PhysCartPole-v0": Registration("balance", reward_threshold=475.0),
    "PhysCartPoleDiscrete-v0": Registration("balance", continuous=False, reward_threshold=475.0),
    "PhysCartPoleSwingUp-v0": Registration("swing_up"),
}
