"""Gymnasium cart-pole environments with exact physics, and offline-RL data sets built from them.

Importing this package only registers the environments; modules that need numba, h5py or torch are imported
lazily, on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register

from cartpole_phys.registration import ENVIRONMENTS

if TYPE_CHECKING:
    from cartpole_phys.data.building.build import build_dataset as build_dataset
    from cartpole_phys.data.checks.run import check as check
    from cartpole_phys.data.evaluation import evaluate as evaluate
    from cartpole_phys.data.loading import load_dataset as load_dataset
    from cartpole_phys.data.loading import make_env_and_dataset as make_env_and_dataset
    from cartpole_phys.data.score import normalized_score as normalized_score
    from cartpole_phys.data.transitions import qlearning_dataset as qlearning_dataset
    from cartpole_phys.data.transitions import sequence_dataset as sequence_dataset
    from cartpole_phys.episodes import Episodes as Episodes
    from cartpole_phys.utils.errors import InputError as InputError

__version__ = "0.1.0"

_LAZY = {
    "build_dataset": "cartpole_phys.data.building.build",
    "check": "cartpole_phys.data.checks.run",
    "load_dataset": "cartpole_phys.data.loading",
    "make_env_and_dataset": "cartpole_phys.data.loading",
    "evaluate": "cartpole_phys.data.evaluation",
    "normalized_score": "cartpole_phys.data.score",
    "qlearning_dataset": "cartpole_phys.data.transitions",
    "sequence_dataset": "cartpole_phys.data.transitions",
    "Episodes": "cartpole_phys.episodes",
    "InputError": "cartpole_phys.utils.errors",
}
__all__ = [*sorted(_LAZY), "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """Public names, including those not yet imported."""
    return sorted({*globals(), *_LAZY})


for _env_id, _own in ENVIRONMENTS.items():
    register(
        id=_env_id,
        entry_point="cartpole_phys.env:PhysCartPoleEnv",
        vector_entry_point="cartpole_phys.vector:PhysCartPoleVectorEnv",
        kwargs={"task": _own.task, "continuous": _own.continuous},
        max_episode_steps=_own.max_episode_steps,
        reward_threshold=_own.reward_threshold,
    )
