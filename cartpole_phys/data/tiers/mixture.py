"""Mixture tiers: concatenations of equal shares of single tiers."""

from __future__ import annotations

from dataclasses import dataclass

from cartpole_phys.data.tiers.base import DEFAULT_STEPS, Tier
from cartpole_phys.data.tiers.single import EXPERT, MEDIUM, TRAINED, WEAK
from cartpole_phys.policies.behavior import HEURISTIC


@dataclass(frozen=True, kw_only=True)
class Mixture(Tier):
    """Single tiers, whose own data sets of that size are its parts."""

    tiers: tuple[Tier, ...]  # from worst to best
    order = 1

    def position(self) -> tuple[int, float, str]:
        """As its worst tier's."""
        return self.order, self.tiers[0].position()[1], self.name

    def shares(self, rows: int) -> list[tuple[str, int]]:
        """Shares that differ by one row at most, the larger ones first."""
        share, rest = divmod(rows, len(self.tiers))
        return [(tier.name, share + (i < rest)) for i, tier in enumerate(self.tiers)]

    def card(self, acted: str, policy: str) -> str:
        return f"{acted}; the tiers {', '.join(tier.name for tier in self.tiers)} one after another"


MIXED = Mixture(name="mixed", policies=(HEURISTIC,), tiers=(WEAK, MEDIUM, EXPERT))
MEDIUM_EXPERT = Mixture(
    name="medium-expert",
    policies=(HEURISTIC, *TRAINED),
    tiers=(MEDIUM, EXPERT),
    default_steps=2 * DEFAULT_STEPS,  # as in D4RL, both parts at full length
)
