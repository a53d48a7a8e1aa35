"""Are the shards of a folder all of their set, in its order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cartpole_phys.data.checks.base import CannotTell, GateFailure
from cartpole_phys.data.shards import WHOLE
from cartpole_phys.utils.errors import is_integer


def shards_verdict(stated: Sequence[Any], rows: int) -> str:
    """What was found of shards that were looked at one by one.

    Args:
        stated: what each says of its place in the set, in the manifest's order.
        rows: how many they have together.

    Raises:
        GateFailure: if one is missing or of another set, or rows are.
        CannotTell: if they do not say what they are shards of.
    """
    places = [one if isinstance(one, Mapping) else {} for one in stated]
    if not any(places):
        raise CannotTell("the shards do not say what they are shards of")
    count = len(places)
    for number, place in enumerate(places):
        found = place.get("number"), place.get("count")
        if found != (number, count):
            raise GateFailure(f"expected shard {number} of {count} (number and count), got {found!r:.80}")
        if any(place.get(key) != places[0].get(key) for key in ("set", WHOLE)):
            raise GateFailure(f"shard {number} is of another set than shard 0")
    steps = _steps(places[0].get(WHOLE))
    if rows != steps:
        raise GateFailure(f"the shards have {rows:,} rows together, their set has {steps:,}")
    return f"all {rows:,} rows in {count} shards"


def _steps(whole: Any) -> int:
    """How many rows the recipe of a whole set asks for.

    Raises:
        CannotTell: if there is none that says so.
    """
    recipe = whole.get("recipe") if isinstance(whole, Mapping) else None
    steps = recipe.get("steps") if isinstance(recipe, Mapping) else None
    if not is_integer(steps):
        raise CannotTell("the shards do not say how many rows their set has")
    return steps
