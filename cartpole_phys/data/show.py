"""Shows a data set: what is in it, how well its behaviour does, and whether it is proven."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from cartpole_phys.data.building.progress import Progress
from cartpole_phys.data.check import check_with
from cartpole_phys.data.loading import load_whole
from cartpole_phys.data.report.statistics import statistics_of
from cartpole_phys.data.report.terminal import summary
from cartpole_phys.data.score import references_of, score
from cartpole_phys.errors import InputError


def show(path: str | os.PathLike[str], progress: Progress) -> RenderableType:
    """A data set for the terminal.

    Raises:
        InputError: if it cannot be read.
    """
    data, gates = load_whole(path), check_with(path, progress)
    statistics = statistics_of(data)
    name = str(data.metadata.get("dataset_name", Path(path).name))
    return summary(name, data.metadata, statistics, score_of(data.metadata, statistics.mean_return), gates)


def score_of(metadata: Mapping[str, Any], mean_return: float | None) -> float | None:
    """The normalized score, where there are reference returns."""
    if mean_return is None:
        return None
    try:
        return float(
            score(references_of(str(metadata.get("env_id")), metadata.get("references")), mean_return)
        )
    except InputError:
        return None
