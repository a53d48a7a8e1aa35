"""The heuristic of a tier: control by a formula, as strong as its score wants it."""

from __future__ import annotations

from typing import Any

from cartpole_phys.data.score import all_references, return_of_score
from cartpole_phys.physics import Params
from cartpole_phys.policies.behavior import Behaviour
from cartpole_phys.policies.controllers import DAMPING_RATIO, calibrate, proportional, swing_up
from cartpole_phys.system import CartPole
from cartpole_phys.task import SWING_UP

# tier -> the score that calibration aims at
TARGETS = {"weak": 20.0, "medium": 50.0, "expert": 99.0}
EPISODES = 1_000


def heuristic_behaviour(env_id: str, system: CartPole, tier: str, seed: int) -> Behaviour:
    """The behaviour whose mean return over ``EPISODES`` episodes of a seed is that of the tier's score.

    Balancing goes by K θ, the gain K found by bisection; where the discrete expert goes by the sign of
    K θ + D θ̇, no gain needs to be found. Swinging up goes by energy shaping and the linear-quadratic
    regulator, with as much noise on its actions as the score allows.

    Raises:
        InputError: if no strength reaches the tier's score.
    """
    assert env_id in all_references(), "the package's own environments have references"
    target = return_of_score(env_id, TARGETS[tier])
    calibration = {"episodes": EPISODES, "seed": seed, "target_score": TARGETS[tier]}
    if system.task.code == SWING_UP:
        return _swinging(system, target, {"tier": tier, "calibration": calibration})
    description: dict[str, Any] = {"kind": "proportional", "tier": tier, "continuous": system.continuous}
    if tier == "expert" and not system.continuous:
        return Behaviour({**description, "gain": 1.0, "damping": DAMPING_RATIO})
    gain = calibrate(system, lambda gain: proportional(gain, system.continuous), target, EPISODES, seed)
    return Behaviour({**description, "gain": gain, "damping": 0.0, "calibration": calibration})


def _swinging(system: CartPole, target: float, described: dict[str, Any]) -> Behaviour:
    """Swinging up under noise of ± 1 / strength."""
    params: Params = system.params
    strength = calibrate(
        system,
        lambda strength: swing_up(params, 1.0 / strength),
        target,
        EPISODES,
        described["calibration"]["seed"],
    )
    return Behaviour(
        {"kind": "swing_up", "noise": 1.0 / strength, "params": params.as_mapping(), **described}
    )
