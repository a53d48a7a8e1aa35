"""What the finished cells of a study say, method by method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import read
from benchmarks.studies import behaviors
from benchmarks.studies.cell import (
    ELIGIBLE,
    Cell,
    Method,
    Protocol,
    read_kept,
    require_same_eligible,
)
from benchmarks.studies.tables import listed, made
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray


class Summary:
    """The results of a study's cells that are finished."""

    def __init__(self, cells: Sequence[Cell], results: Path) -> None:
        """Read them.

        Raises:
            InputError: if cells of one data set were trained on different rows, or on others than those of
                its behaviors, or if a cell has another recipe now.
        """
        self.cells = cells
        self._finished = {cell: read_kept(cell, results) for cell in cells if cell.path(results).exists()}
        self.missing = [cell for cell in cells if cell not in self._finished]
        paths = {cell.data.name: behaviors.path(cell.data, results) for cell in cells}
        self._made = {name: read(path) for name, path in paths.items() if path.exists()}
        hashes = {name: one["data_sha256"] for name, one in self._made.items() if "data_sha256" in one}
        for cell, result in self._finished.items():
            first = hashes.setdefault(cell.data.name, result["data_sha256"])
            if result["data_sha256"] != first:
                raise InputError(
                    f"Expected all cells of {cell.data.name} to be trained on rows with hash {first}, got "
                    f"{result['data_sha256']} for {cell.name}; delete its file and run the study again."
                )
        for data in self.data:
            require_same_eligible(self._results(data))

    def check_eligible(self) -> None:
        """Refuse results without a record of their eligible episodes where cells are still missing.

        Raises:
            InputError: if there is one.
        """
        for data in {cell.data.name: cell.data for cell in self.missing}.values():
            require_same_eligible(self._results(data), more=True)

    def remeasured(self, data: Recipe) -> bool:
        """Whether results of a data set predate the record of eligible episodes, so that they will change."""
        return any(ELIGIBLE not in result for result in self._results(data).values())

    def _results(self, data: Recipe) -> dict[str, dict[str, Any]]:
        """The results of a data set by the name of their cell."""
        return {cell.name: result for cell, result in self._finished.items() if cell.data.name == data.name}

    def check_protocol(self, protocol: Protocol) -> None:
        """Refuse cells, and results of behavior policies, that were played otherwise.

        Raises:
            InputError: if there is one.
        """
        for cell, result in self._finished.items():
            episodes, wishes = protocol.episodes_of(cell.method), [one["wish"] for one in result["played"]]
            starts = protocol.evaluation_seed(cell.seed)
            if result["evaluation_seed"] != starts:
                raise InputError(
                    f"Expected {cell.name} to be evaluated on the start states of seed {starts}, got those "
                    f"of {result['evaluation_seed']}; delete its file and run the study again."
                )
            counts = {len(one["returns"]) for one in result["played"]}
            if counts != {episodes} or wishes not in ([None], protocol.wishes):
                raise InputError(
                    f"Expected {cell.name} to be played for {episodes} episodes with the wishes "
                    f"{listed(protocol.wishes)}, if it takes any, got {listed(sorted(map(str, counts)))} "
                    f"with {listed(list(map(str, wishes)))}; delete its file and run the study again."
                )
        for name, result in self._made.items():
            behaviors.check_protocol(name, result, protocol)

    @property
    def data(self) -> list[Recipe]:
        """The data sets with results, in order."""
        return list({cell.data.name: cell.data for cell in self._finished}.values())

    def of(self, data: Recipe, method: Method) -> list[dict[str, Any]]:
        """The results of a method on a data set, seed by seed."""
        return [
            result for cell, result in self._finished.items() if cell.data == data and cell.method == method
        ]

    def run_returns(self, data: Recipe, method: Method, wish: int = 0) -> FloatArray:
        """The mean return of each run (runs,), asked for the wish of this number."""
        return np.array([np.mean(result["played"][wish]["returns"]) for result in self.of(data, method)])

    def made_by(self, data: Recipe) -> dict[str, Any]:
        """The data set itself and its behaviors, as ``behaviors.measure`` found them."""
        return self._made[data.name]

    def behavior_returns(self, data: Recipe, name: str) -> FloatArray:
        """The mean return of a behavior (runs,), by one of the names in ``behaviors``."""
        return behaviors.run_returns(self.made_by(data), name)

    def made(self) -> tuple[str, str]:
        """On which machines, and in which days."""
        return made(self._finished.values())
