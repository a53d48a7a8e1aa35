"""One cell of a study: one method, trained with one seed on one data set, and played."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe, read
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe as DataRecipe
from cartpole_phys.data.score import return_of_score
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file
from dt.data.source import describe as describe_data
from dt.data.source import spaces_of
from dt.data.windows import Normalization
from dt.models.recipes import Recipe
from dt.policy import load
from dt.training.checkpoint import Checkpoint, exists, save
from dt.training.checkpoint import load as load_checkpoint
from dt.training.loop import best, train

EVALUATION_SEED = 1_000  # of the start states
WANTED_SCORE = 100.0  # what models that can be asked for a return are asked for: the best known policy's
# Options that came after the first results, and what these were made with.
LATER: Mapping[str, Any] = {"betas": [0.9, 0.999], "decaying": "all", "return_span": 1_000.0}
ELIGIBLE = "eligible"  # entry of a result: the episodes that trained, ranked and scored
BEST_RETURN = "best return of the data"
BEST_WISH = -1  # of the results that a cell keeps for its wishes, that for the best return of its data


@dataclass(frozen=True)
class Method:
    """A way to learn from data, under the name that tables have for it."""

    name: str
    recipe: Recipe
    scaling: Mapping[str, Any] = field(default_factory=dict)  # what of dt's ``Normalization`` is otherwise
    slow: bool = False  # it plans at each step: played less often, and only when it is trained


@dataclass(frozen=True)
class Protocol:
    """How every model of a study is measured, always from its last checkpoint."""

    episodes: int = 100
    slow_episodes: int = 20  # of methods that are slow
    seeds: int = 5
    curve_points: int = 10  # times that a model is played while it learns, the end included
    curve_episodes: int = 100  # each time
    swept_scores: tuple[float, ...] = (25.0, 50.0, 75.0)  # further wishes, besides the data's best return
    # Whether all training seeds are evaluated on one set of start states; otherwise each has its own, and
    # intervals over seeds measure how much start states differ, too.
    shared_starts: bool = False

    def evaluation_seed(self, seed: int) -> int:
        """The start states of a training seed: the same for all methods and behavior policies."""
        return EVALUATION_SEED + (0 if self.shared_starts else seed)

    def episodes_of(self, method: Method) -> int:
        """How many a model of this method plays for each wish."""
        return self.slow_episodes if method.slow else self.episodes

    @property
    def wishes(self) -> list[str]:
        """What models are asked for, one after another, if they can be."""
        return [_wish(score) for score in (WANTED_SCORE, *self.swept_scores)] + [BEST_RETURN]


@dataclass(frozen=True, eq=False)
class Cell:
    """Equal cells give equal results, on one machine."""

    data: DataRecipe
    method: Method
    seed: int  # of training

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.data.name}, {self.method.name}, seed {self.seed}"

    @property
    def recipe(self) -> Recipe:
        """The method's, with this seed."""
        given = self.method.recipe
        return replace(given, train=replace(given.train, seed=self.seed))

    def path(self, results: Path) -> Path:
        """Where its result is kept."""
        return results / self.data.name / f"{plain(self.method.name)}-seed{self.seed}.json"


def _wish(score: float) -> str:
    return f"score {score:g}"


def plain(name: str) -> str:
    """A method's name as a file name."""
    return re.sub("[^a-z0-9]+", "-", name.lower().replace("%", "percent")).strip("-")


def data_path(data: DataRecipe, folder: Path) -> Path:
    """Where a study keeps a data set."""
    return folder / f"{data.name}.hdf5"


def model_path(cell: Cell, folder: Path) -> Path:
    """Where a study keeps a trained model."""
    return cell.path(folder / "models").with_suffix("")


def measure(cell: Cell, protocol: Protocol, folder: Path) -> dict[str, Any]:
    """Train and play one cell; what it is worth stands in the result, the model is kept beside the data.

    Args:
        cell: what to train, and on what.
        protocol: how to play.
        folder: where the data are.
    """
    torch.set_num_threads(1)  # as many cells as there are processors; sums do not depend on their number
    measurement = _Measurement(cell, protocol, load_file(data_path(cell.data, folder)))
    checkpoint = measurement.train()
    save(model_path(cell, folder), checkpoint)
    return measurement.result(checkpoint)


def trained(cell: Cell, folder: Path) -> Checkpoint:
    """The model that ``measure`` kept; where it is not there, or of other data, it is trained anew."""
    torch.set_num_threads(1)
    data, path = load_file(data_path(cell.data, folder)), model_path(cell, folder)
    normalization = _normalization(cell, data)
    if exists(path):
        kept = load_checkpoint(path)
        same_type = replace(kept.recipe.train, dtype=cell.recipe.train.dtype)  # which may have been "auto"
        same_recipe = replace(kept.recipe, train=same_type) == cell.recipe
        now = describe_data(data)
        same_rows = (kept.source.sha256, kept.source.eligible) == (now.sha256, now.eligible)
        if same_recipe and same_rows and kept.normalization == normalization:
            return kept
    checkpoint = train(data, cell.recipe, normalization=normalization)
    save(path, checkpoint)
    return checkpoint


def _normalization(cell: Cell, data: Episodes) -> Normalization:
    """That of the rows that are learned from, with what the method scales otherwise."""
    chosen = best(data, cell.recipe.train.best_share, cell.seed)
    return replace(Normalization.of(chosen, spaces_of(cell.data.backend)), **cell.method.scaling)


class _Measurement:
    """A cell while it is measured."""

    def __init__(self, cell: Cell, protocol: Protocol, data: Episodes) -> None:
        self.cell, self.protocol, self.data = cell, protocol, data
        self.curve: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.seconds = self.playing = 0.0  # s of the processor, those of playing not counted as training
        self.episodes = protocol.episodes_of(cell.method)

    def train(self) -> Checkpoint:
        """The model after its last step; on the way it is played."""
        start, steps = time.process_time(), self.cell.recipe.train.steps
        points = 1 if self.cell.method.slow else self.protocol.curve_points
        checkpoint = train(
            self.data,
            self.cell.recipe,
            save_every=-(-steps // points),
            on_progress=lambda step, loss: self.losses.append(loss),
            on_checkpoint=self._look,
            normalization=_normalization(self.cell, self.data),
        )
        self.seconds = time.process_time() - start - self.playing
        return checkpoint

    def result(self, trained: Checkpoint) -> dict[str, Any]:
        """Everything that is to be kept."""
        return {
            "data": self.cell.data.name,
            "data_sha256": trained.source.sha256,
            ELIGIBLE: asdict(trained.source.eligible),
            "method": self.cell.method.name,
            "seed": self.cell.seed,
            "evaluation_seed": self.protocol.evaluation_seed(self.cell.seed),
            "recipe": asdict(trained.recipe),
            **({"scaling": dict(self.cell.method.scaling)} if self.cell.method.scaling else {}),
            "train_seconds": round(self.seconds, 1),
            "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
            "curve": self.curve,
            "played": self._played(trained),
            **describe("torch"),
        }

    def _look(self, checkpoint: Checkpoint) -> None:
        """A point of the learning curve."""
        if self.cell.method.slow:
            return
        start = time.process_time()
        wanted = self._wanted(WANTED_SCORE)
        returns = self._returns(checkpoint, wanted, self.protocol.curve_episodes)
        loss = float(np.mean(self.losses[-10:]))
        self.curve.append({"step": checkpoint.step, "loss": loss, "mean_return": float(np.mean(returns))})
        self.playing += time.process_time() - start

    def _played(self, trained: Checkpoint) -> list[dict[str, Any]]:
        """The returns for each wish; the first is what tables show."""
        episodes = self.episodes
        if not trained.model.return_conditioned:
            return [{"wish": None, "target": None, "returns": self._returns(trained, None, episodes)}]
        scores = (WANTED_SCORE, *self.protocol.swept_scores)
        targets = [*map(self._wanted, scores), trained.source.max_return]
        return [
            {"wish": wish, "target": target, "returns": self._returns(trained, target, episodes)}
            for wish, target in zip(self.protocol.wishes, targets, strict=True)
        ]

    def _wanted(self, score: float) -> float:
        return return_of_score(self.cell.data.env_id, score)

    def _returns(self, checkpoint: Checkpoint, target: float | None, episodes: int) -> list[float]:
        backend, seed = self.cell.data.backend, self.protocol.evaluation_seed(self.cell.seed)
        returns = backend.play(load(checkpoint, target), episodes, seed).returns
        return [round(float(one), 3) for one in returns]


def write(result: Mapping[str, Any], path: Path) -> None:
    """Keep a result, whole or not at all: JSON with one line a field."""
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items()]
    with atomic_file(path) as partial:
        partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def read_of(path: Path, recipe: Recipe) -> dict[str, Any]:
    """A result of a model with this recipe.

    Raises:
        InputError: if it is of another.
    """
    result = read(path)
    if not is_of(recipe, result["recipe"]):
        raise other_recipe(path)
    return result


def read_kept(cell: Cell, results: Path) -> dict[str, Any]:
    """The result of a cell that is finished.

    Raises:
        InputError: if it is of another recipe than the cell has now.
    """
    path, scaling = cell.path(results), json.loads(json.dumps(dict(cell.method.scaling)))
    result = read_of(path, cell.recipe)
    if result.get("scaling", {}) != scaling:
        raise other_recipe(path)
    return result


def require_same_eligible(results: Mapping[str, Mapping[str, Any]], more: bool = False) -> None:
    """Make sure that results of one data set are of models that trained on the same eligible episodes.

    Args:
        results: by name; those that predate the record of eligible episodes have none.
        more: whether other results, which have the record, are still to come.

    Raises:
        InputError: if two results differ, or a result without the record would stand beside others.
    """
    records = {name: result.get(ELIGIBLE) for name, result in results.items()}
    expected = next(iter(records.values()), None)
    for name, record in records.items():
        if record != expected or (more and record is None):
            raise InputError(
                f"Expected methods trained on the same eligible episodes, {_recorded(expected)} for "
                f"{next(iter(records))}, got a result where {_recorded(record)} for {name}; delete the older "
                "results of this data set and run the study again."
            )


def _recorded(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return "none are recorded"
    return f"{record['episodes']} with {record['rows']} rows and hash {record['sha256']:.8}"


def is_of(recipe: Recipe, kept: Mapping[str, Any]) -> bool:
    """Whether a recipe in a result is this one."""
    now = json.loads(json.dumps(asdict(recipe)))
    parts = {
        part: {name: value for name, value in LATER.items() if name in now[part]} | kept[part]
        for part in ("model", "train")
    }
    now["train"]["dtype"] = parts["train"]["dtype"]  # which may have been "auto"
    return {**kept, **parts} == now


def other_recipe(path: Path) -> InputError:
    """What is wrong with a result that is of an earlier recipe."""
    return InputError(
        f"Expected {str(path)!r} to be of the recipe that the study has now, got another; delete the file "
        "and run the study again."
    )
