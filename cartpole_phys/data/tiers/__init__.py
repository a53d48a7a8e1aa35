"""Quality tiers of data sets, defined in the modules of this package and collected in ``TIERS``.

To add a tier, add one module that defines a ``Tier``.
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
    """Fill ``TIERS`` from all modules of this package."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = {tier for module in modules for tier in vars(module).values() if isinstance(tier, Tier)}
    TIERS.clear()
    TIERS.update({tier.name: tier for tier in sorted(found, key=lambda tier: tier.sort_key())})


def tiers_of(policy: str) -> tuple[str, ...]:
    """Names of the tiers that can be built from a policy.

    Raises:
        InputError: if the policy is unknown.
    """
    kind = kind_of(policy)
    return tuple(name for name, tier in TIERS.items() if kind in tier.policies)


def default_tier(policy: str) -> str:
    """Name of the default tier of a policy."""
    return next(name for name in tiers_of(policy) if kind_of(policy) in TIERS[name].default_for)


def band(tier: str) -> tuple[float, float] | None:
    """Lowest and highest score of a tier; None for an unknown tier or one without a required score."""
    return TIERS[tier].band if tier in TIERS else None


def check_combination(policy: str, tier: str, backend: Backend) -> None:
    """Check that a tier can be built from a policy in an environment.

    Raises:
        InputError: on an unknown policy or tier, or a combination that cannot be built.
    """
    kind, tiers = kind_of(policy), tiers_of(policy)
    if not kind.supports(backend):
        others = ", ".join(other.name for other in KINDS.values() if other.supports(backend))
        raise InputError(
            f"Policy {policy!r} {kind.requirement}, so it is not available in {backend.env_id}; choose "
            f"--policy from {others} or MODULE:FACTORY."
        )
    if tier not in tiers:
        raise InputError(f"Policy {policy!r} has no tier {tier!r}; {choices(tier, tiers)}")
    if not TIERS[tier].supports(backend):
        others = ", ".join(other for other in tiers if TIERS[other].supports(backend))
        raise InputError(f"The tier {tier!r} requires {TIERS[tier].requirement}; choose from {others}.")


discover()
