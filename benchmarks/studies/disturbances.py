"""Policies under what their data did not show: pushes, noise and other masses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.studies.behaviors import policy_of
from benchmarks.studies.cell import (
    ELIGIBLE,
    WANTED_SCORE,
    Cell,
    Method,
    Protocol,
    data_path,
    trained,
)
from cartpole_phys.backends.base import Backend
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.physics import Params
from dt.data.source import describe as describe_data
from dt.policy import load

PARAMETERS = Params().as_mapping()
UNDISTURBED = "none"
EXPERT = "expert in the data, mean action"


@dataclass(frozen=True)
class Disturbance:
    """One thing that is otherwise than in the data, at several strengths."""

    name: str
    unit: str
    usual: float  # as in the data
    strengths: tuple[float, ...]
    besides: Mapping[str, float] = field(default_factory=dict)  # what else differs at all of them

    @property
    def scale(self) -> list[float]:
        """All strengths, the usual one among them, in order."""
        return sorted((self.usual, *self.strengths))

    def backend(self, data: Recipe, strength: float) -> Backend:
        """The environment of the data, disturbed."""
        changed = {self.name: strength, **self.besides}
        return make_backend(data.env_id, {"params": changed} if self.name in PARAMETERS else changed)


DISTURBANCES = (
    Disturbance(
        "push_size",
        "N, pushes of up to this, about one a second",
        0.0,
        (20, 40, 80, 160),
        besides={"push_rate": 1.0},
    ),
    Disturbance("observation_noise", "of x, ẋ, θ, θ̇, in m, m/s, rad, rad/s", 0.0, (0.01, 0.02, 0.05, 0.1)),
    Disturbance("pole_mass", "kg", 0.1, (0.05, 0.2, 0.5, 1.0)),
    Disturbance("cart_mass", "kg", 1.0, (0.5, 2.0, 4.0, 8.0)),
)
AS_KEPT = json.loads(json.dumps([asdict(one) for one in DISTURBANCES]))  # in results


@dataclass(frozen=True, eq=False)
class Disturbed:
    """A trained model, or the expert in its data, to be played under every disturbance."""

    data: Recipe
    method: Method | None  # None for the expert
    seed: int
    protocol: Protocol
    folder: Path  # of data and models

    @property
    def name(self) -> str:
        """Who plays."""
        return EXPERT if self.method is None else self.method.name

    @property
    def cell(self) -> Cell | None:
        """Of the scores' study, whose model plays."""
        return None if self.method is None else Cell(self.data, self.method, self.seed)

    def path(self, results: Path) -> Path:
        """Where its result is kept."""
        if self.cell is None:
            return results / self.data.name / f"expert-seed{self.seed}.json"
        return self.cell.path(results)

    def result(self) -> dict[str, Any]:
        """Its returns by disturbance and strength."""
        source = describe_data(load_file(data_path(self.data, self.folder)))
        seed, policy = self.protocol.evaluation_seed(self.seed), self._policy()
        count = self.protocol.episodes_of(self.method) if self.method else self.protocol.episodes

        def returns(backend: Backend) -> list[float]:
            return [round(float(one), 3) for one in backend.play(policy, count, seed).returns]

        played: Mapping[str, Any] = {UNDISTURBED: returns(self.data.backend)} | {
            one.name: {
                f"{strength:g}": returns(one.backend(self.data, strength)) for strength in one.strengths
            }
            for one in DISTURBANCES
        }
        return {
            "data": self.data.name,
            "data_sha256": source.sha256,
            ELIGIBLE: asdict(source.eligible),
            "evaluation_seed": seed,
            "recipe": None if self.cell is None else asdict(self.cell.recipe),
            "disturbances": AS_KEPT,
            "returns": played,
            **describe("torch"),
        }

    def _policy(self) -> Any:
        if self.cell is None:
            header = read_header(data_path(self.data, self.folder))
            return policy_of(header, len(header.metadata["parts"]) - 1, mean_action=True)
        return load(trained(self.cell, self.folder), score=WANTED_SCORE)
