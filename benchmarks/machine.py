"""Result files, and the machine and versions that a result was measured with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.metadata import package_versions


def describe(*packages: str) -> dict[str, Any]:
    """Machine, versions (also of ``packages``) and date, for every result file."""
    return {
        "machine": machine(),
        "versions": package_versions() | {name: metadata.version(name) for name in packages},
        "date": datetime.now(UTC).date().isoformat(),
    }


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result in a folder that may not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read(path: Path) -> Any:
    """A result that was written."""
    return json.loads(path.read_text("utf-8"))


def machine() -> str:
    """CPU model and number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"
