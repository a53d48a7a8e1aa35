"""Shows a data set: what is in it, how well its behaviour does, and whether it is proven."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from cartpole_phys.data.building.progress import Progress
from cartpole_phys.data.building.writing import writing_to
from cartpole_phys.data.check import GateResult, check_with
from cartpole_phys.data.loading import load_whole
from cartpole_phys.data.report.page import page
from cartpole_phys.data.report.statistics import Statistics, holds_cart_and_pole, statistics_of
from cartpole_phys.data.report.terminal import summary
from cartpole_phys.data.score import references_of, score
from cartpole_phys.data.stated import stated_world
from cartpole_phys.episodes import Episodes
from cartpole_phys.errors import InputError
from cartpole_phys.files import unfinished
from cartpole_phys.system import CartPole


@dataclass(frozen=True)
class Shown:
    """Everything that a report is made of."""

    name: str
    data: Episodes
    statistics: Statistics
    score: float | None
    gates: Sequence[GateResult]

    def in_terminal(self) -> RenderableType:
        """On one screen."""
        return summary(self.name, self.data.metadata, self.statistics, self.score, self.gates)

    def as_page(self) -> str:
        """As one page of HTML."""
        return page(self.name, self.data, self.statistics, self.score, self.gates, system_of(self.data))


def show(path: str | os.PathLike[str], progress: Progress) -> Shown:
    """Look at a data set, its gates included.

    Raises:
        InputError: if it cannot be read.
    """
    data, gates = load_whole(path), check_with(path, progress)
    statistics = statistics_of(data)
    name = str(data.metadata.get("dataset_name", Path(path).name))
    return Shown(name, data, statistics, score_of(data.metadata, statistics.mean_return), gates)


def write_page(shown: Shown, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: if it cannot be written.
    """
    with writing_to(path), unfinished(path) as partial:
        partial.write_text(shown.as_page(), "utf-8")


def system_of(data: Episodes) -> CartPole | None:
    """The cart and pole that a data set is of, with all that a player draws; None for anything else."""
    if not holds_cart_and_pole(data) or data.actions[0].size != 1:
        return None
    try:
        return stated_world(data.metadata).system
    except InputError:
        return None


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
