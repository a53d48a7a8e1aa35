"""Provenance: the versions that a data set was built with, compared with those of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNRECORDED = "not recorded"

Differences = Mapping[str, tuple[str, str]]  # by name: recorded and current version


def recorded_versions(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Versions recorded in a file, of its build and of the training of its agents."""
    parts = metadata.get("parts")
    described = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    training = [part["training"] for part in described if isinstance(part.get("training"), Mapping)]
    groups = [holder.get("versions") for holder in (*training, metadata)]
    found = [group for group in groups if isinstance(group, Mapping)]
    return {str(name): str(version) for group in found for name, version in group.items()}


def version_differences(
    recorded: Mapping[str, str], current: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Versions of ``current`` that differ from the recorded ones or were not recorded."""
    return {
        name: (recorded.get(name, UNRECORDED), version)
        for name, version in current.items()
        if recorded.get(name) != version
    }


def describe_differences(differences: Differences) -> str:
    """Text of the differences, followed by the names of unrecorded versions."""
    unrecorded = [name for name, (recorded, _) in differences.items() if recorded == UNRECORDED]
    changed = [
        f"{name} {recorded} (now {current})"
        for name, (recorded, current) in differences.items()
        if name not in unrecorded
    ]
    return "; ".join([*changed, *([f"{UNRECORDED}: {', '.join(unrecorded)}"] if unrecorded else [])])
