"""Which data sets there are: policies, their tiers, and the scores that a tier stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gymnasium.spaces import Box

from cartpole_phys.backends.base import Backend
from cartpole_phys.task import SWING_UP
from cartpole_phys.utils.choices import choices, unknown
from cartpole_phys.utils.errors import InputError

# tier -> the scores that a policy of this tier may have
BANDS: Mapping[str, tuple[float, float]] = {
    "random": (-5.0, 5.0),
    "weak": (10.0, 30.0),
    "medium": (40.0, 60.0),
    "expert": (95.0, math.inf),
}
# tier -> the tiers that it is made of, in equal shares and in this order
COMPOSITES: Mapping[str, tuple[str, ...]] = {
    "mixed": ("weak", "medium", "expert"),
    "medium-expert": ("medium", "expert"),
}
# tier -> the tier of the agent that the recorded training run leads up to
REPLAYS: Mapping[str, str] = {"medium-replay": "medium", "full-replay": "expert"}
STITCHING = "stitching"  # the heuristic's expert in pieces that are worth little by themselves
UNRATED = "unrated"  # of somebody's own policy, where no score is claimed

LEARNED = ("medium", "expert", "medium-expert", "medium-replay", "full-replay")
# policy -> the tiers that can be built from it
TIERS: Mapping[str, tuple[str, ...]] = {
    "random": ("random",),
    "heuristic": ("weak", "medium", "expert", "mixed", "medium-expert", STITCHING),
    "ppo": LEARNED,
    "sac": LEARNED,
}
TRAINED = ("ppo", "sac")
OWN_POLICY_TIERS = (UNRATED, *BANDS)

DEFAULT_STEPS = 1_000_000  # transitions of one policy, as D4RL


def is_own_policy(policy: str) -> bool:
    """Whether a policy is named as MODULE:FACTORY."""
    return ":" in policy


def tiers_of(policy: str) -> tuple[str, ...]:
    """The tiers that can be built from a policy.

    Raises:
        InputError: if there is no such policy.
    """
    if is_own_policy(policy):
        return OWN_POLICY_TIERS
    if policy not in TIERS:
        raise unknown("policy", policy, TIERS, " or MODULE:FACTORY")
    return TIERS[policy]


def offered(policy: str, backend: Backend) -> bool:
    """Whether there are data sets of a policy in an environment."""
    if policy == "heuristic":
        return backend.system is not None
    return policy != "sac" or isinstance(backend.action_space, Box)


def stitchable(backend: Backend) -> bool:
    """Whether episodes go on from any state as they did before: swinging up, with nothing left to chance."""
    system = backend.system
    if system is None or system.push_rate or system.randomize or system.noisy:
        return False
    return system.task.code == SWING_UP


def check_combination(policy: str, tier: str, backend: Backend) -> None:
    """Refuse what makes no sense, and say what does.

    Raises:
        InputError: on an unknown policy or tier, or a combination that cannot be built.
    """
    tiers = tiers_of(policy)
    if not offered(policy, backend):
        others = ", ".join(other for other in TIERS if offered(other, backend))
        reason = "drives carts only" if policy == "heuristic" else "needs continuous actions"
        raise InputError(
            f"Policy {policy!r} {reason}, so it is not offered in {backend.env_id}; choose --policy from "
            f"{others} or MODULE:FACTORY."
        )
    if tier not in tiers:
        known = {name for group in (*TIERS.values(), OWN_POLICY_TIERS) for name in group}
        kind = "has no tier" if tier in known else "does not know the tier"
        raise InputError(f"Policy {policy!r} {kind} {tier!r}; {choices(tier, tiers)}")
    if tier == STITCHING and not stitchable(backend):
        raise InputError(
            f"The tier {tier!r} is for PhysCartPoleSwingUp-v0 without pushes, noise and drawn parameters; "
            f"choose from {', '.join(other for other in tiers if other != tier)}."
        )


def default_tier(policy: str) -> str:
    """The tier that is meant where none is named."""
    if policy == "random":
        return "random"
    return UNRATED if is_own_policy(policy) else "medium"


def default_steps(tier: str) -> int | None:
    """How many transitions are meant where no number is named; None for all that were recorded.

    A medium-expert set is, as in D4RL, its two parts at full length.
    """
    if tier in REPLAYS:
        return None
    return 2 * DEFAULT_STEPS if tier == "medium-expert" else DEFAULT_STEPS


def components(tier: str) -> tuple[str, ...]:
    """The single tiers that a tier is made of."""
    return COMPOSITES.get(tier, (tier,))


def shares(rows: int, count: int) -> list[int]:
    """Rows in so many shares that differ by one at most, the larger ones first."""
    share, rest = divmod(rows, count)
    return [share + (i < rest) for i in range(count)]


def band(tier: str) -> tuple[float, float] | None:
    """The scores that the policy of a single tier, or the agent that a replay leads up to, may have."""
    return BANDS.get(REPLAYS.get(tier, tier))
