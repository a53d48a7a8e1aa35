"""Mixture tiers: concatenations of equal shares of single tiers."""

from __future__ import annotations

from dataclasses import dataclass

from cartpole_phys.data.tiers.base import DEFAULT_STEPS, Tier
from cartpole_phys.data.tiers.single import EXPERT, MEDIUM, TRAINED, WEAK
from cartpole_phys.policies.behavior import HEURISTIC


@dataclass(frozen=True, kw_only=True)
class Mixture(Tier):
    """Concatenation of single-tier data sets, one for each of ``tiers``."""

    tiers: tuple[Tier, ...]  # from worst to best
    order = 1

    def sort_key(self) -> tuple[int, float, str]:
        """Sort key by the lowest score of the worst tier."""
        return self.order, self.tiers[0].sort_key()[1], self.name

    def shares(self, rows: int) -> list[tuple[str, int]]:
        """Names of the tiers with equal numbers of rows, or one more in the first ones."""
        share, rest = divmod(rows, len(self.tiers))
        return [(tier.name, share + (i < rest)) for i, tier in enumerate(self.tiers)]

    def card(self, policy: str, algorithm: str) -> str:
        return f"{policy}; the concatenated tiers {', '.join(tier.name for tier in self.tiers)}"


MIXED = Mixture(name="mixed", policies=(HEURISTIC,), tiers=(WEAK, MEDIUM, EXPERT))
MEDIUM_EXPERT = Mixture(
    name="medium-expert",
    policies=(HEURISTIC, *TRAINED),
    tiers=(MEDIUM, EXPERT),
    default_steps=2 * DEFAULT_STEPS,  # both parts have full length, as in D4RL
)
