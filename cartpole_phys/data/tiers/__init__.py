"""Quality tiers: which data sets there are. Each module here defines some; ``TIERS`` holds all of them.

A new tier is one module with a ``Tier`` in it. Nothing else names tiers.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from cartpole_phys.backends.base import Backend
from cartpole_phys.data.tiers.base import Tier
from cartpole_phys.policies.behavior import KINDS, kind_of
from cartpole_phys.utils.choices import choices
from cartpole_phys.utils.errors import InputError

TIERS: dict[str, Tier] = {}  # by name: single tiers from worst to best, mixtures, recordings


def discover() -> None:
    """Find the tiers in all modules of this package."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = {tier for module in modules for tier in vars(module).values() if isinstance(tier, Tier)}
    TIERS.clear()
    TIERS.update({tier.name: tier for tier in sorted(found, key=lambda tier: tier.position())})


def tiers_of(policy: str) -> tuple[str, ...]:
    """The names of the tiers that can be built from a policy.

    Raises:
        InputError: if there is no such policy.
    """
    kind = kind_of(policy)
    return tuple(name for name, tier in TIERS.items() if kind in tier.policies)


def default_tier(policy: str) -> str:
    """The tier of a policy where none is named."""
    return next(name for name in tiers_of(policy) if kind_of(policy) in TIERS[name].default_for)


def band(tier: str) -> tuple[float, float] | None:
    """The scores that a tier stands for, if there is such a tier and it stands for any."""
    return TIERS[tier].band if tier in TIERS else None


def check_combination(policy: str, tier: str, backend: Backend) -> None:
    """Refuse a tier that cannot be built from a policy in an environment.

    Raises:
        InputError: on an unknown policy or tier, or a combination that cannot be built.
    """
    kind, tiers = kind_of(policy), tiers_of(policy)
    if not kind.suits(backend):
        others = ", ".join(other.name for other in KINDS.values() if other.suits(backend))
        raise InputError(
            f"Policy {policy!r} {kind.requirement}, so it is not offered in {backend.env_id}; choose "
            f"--policy from {others} or MODULE:FACTORY."
        )
    if tier not in tiers:
        reason = "has no tier" if tier in TIERS else "does not know the tier"
        raise InputError(f"Policy {policy!r} {reason} {tier!r}; {choices(tier, tiers)}")
    if not TIERS[tier].suits(backend):
        others = ", ".join(other for other in tiers if TIERS[other].suits(backend))
        raise InputError(f"The tier {tier!r} is for {TIERS[tier].requirement}; choose from {others}.")


discover()
