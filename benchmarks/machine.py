"""The machine and versions that a result was measured with."""

from __future__ import annotations

import os
import platform
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


def machine() -> str:
    """CPU model and number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"
