"""Refuses attributes that look as if they changed the physics, and would not."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cartpole_phys.errors import InputError
from cartpole_phys.physics import Params

PARAM_OF = {  # CartPole-v1's name -> ours
    "masscart": "cart_mass",
    "masspole": "pole_mass",
    "length": "half_length",
    "tau": "time_step",
    **{field.name: field.name for field in fields(Params)},
}
DERIVED = ("total_mass", "polemass_length")
FIXED = ("kinematics_integrator", "theta_threshold_radians", "x_threshold")
REFUSED = frozenset((*PARAM_OF, *DERIVED, *FIXED))


class NoPhysicsAttributes:
    """An environment on which ``env.gravity = 5.0`` and the like raise instead of being ignored."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            InputError: on one that CartPole-v1 reads its physics from, or a physical parameter's name.
        """
        if name in REFUSED:  # one look-up, because environments set attributes at each step
            raise _refused(name, value)
        super().__setattr__(name, value)


def _refused(name: str, value: Any) -> InputError:
    """The error for one of ``REFUSED``, which says what to do instead."""
    if name == "tau" or PARAM_OF.get(name) == "time_step":
        return InputError(
            f"Cannot set {name!r} of a running environment; make another one with "
            f'params={{"time_step": {value!r}}}.'
        )
    if name in PARAM_OF:
        return InputError(
            f'Cannot set {name!r} by itself; set params = {{"{PARAM_OF[name]}": {value!r}}}, '
            'or with many environments set_attr("params", …).'
        )
    if name in DERIVED:
        return InputError(f"Cannot set {name!r}, which follows from params; set params instead.")
    return InputError(f"Cannot set {name!r} of a running environment; make another one instead.")
