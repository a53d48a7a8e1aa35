"""JSON from elsewhere."""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 100  # lists and dictionaries within each other


def parsed_json(text: str) -> Any:
    """What a text says in JSON's types, not so deep that whoever walks through it meets Python's limit.

    Raises:
        ValueError: if it is no JSON, or deeper than ``DEEPEST``.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is too deep") from None
    level, depth = [value], 0
    while level := [within for one in level for within in _within(one)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"it is deeper than {DEEPEST} lists within each other")
    return value


def _within(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
