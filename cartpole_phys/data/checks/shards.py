"""Completeness check of a folder of shards: all shards of one data set, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cartpole_phys.data.checks.base import GateFailure, Unverifiable
from cartpole_phys.data.shards import WHOLE
from cartpole_phys.utils.errors import is_integer


def check_shard_set(attributes: Sequence[Any], rows: int) -> str:
    """Check that shards form one complete data set, and return the detail of the passed gate.

    Args:
        attributes: the attribute ``shard`` of each, in the manifest's order.
        rows: the total number of rows.

    Raises:
        GateFailure: if a shard or rows are missing, or a shard belongs to another data set.
        Unverifiable: if the shards do not name their data set.
    """
    shards = [shard if isinstance(shard, Mapping) else {} for shard in attributes]
    if not any(shards):
        raise Unverifiable("the shards do not name their data set")
    count = len(shards)
    for number, shard in enumerate(shards):
        found = shard.get("number"), shard.get("count")
        if found != (number, count):
            raise GateFailure(f"expected shard {number} of {count} (number and count), got {found!r:.80}")
        if any(shard.get(key) != shards[0].get(key) for key in ("set", WHOLE)):
            raise GateFailure(f"shard {number} belongs to another data set than shard 0")
    steps = _steps(shards[0].get(WHOLE))
    if rows != steps:
        raise GateFailure(f"expected {steps:,} rows in all shards of the data set, got {rows:,}")
    return f"all {rows:,} rows in {count} shards"


def _steps(whole: Any) -> int:
    """Number of rows in the recipe of a whole data set.

    Raises:
        Unverifiable: if the recipe or the number is missing.
    """
    recipe = whole.get("recipe") if isinstance(whole, Mapping) else None
    steps = recipe.get("steps") if isinstance(recipe, Mapping) else None
    if not is_integer(steps):
        raise Unverifiable("the shards do not state the number of rows of their data set")
    return steps
