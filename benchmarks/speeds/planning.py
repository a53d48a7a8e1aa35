"""Planners against their authors' implementations: ``python -m benchmarks.speeds.planning``.

Planning and training. Both sides have the same architecture, weights, data and cores.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.speeds.models import data
from benchmarks.speeds.peers.masked_one_by_one import Loop, MaskedModel
from benchmarks.speeds.peers.uncached_search import UncachedSearch
from benchmarks.speeds.side_by_side import compare, rate, run
from cartpole_phys.episodes import Episodes
from dt.data.source import describe
from dt.data.windows import Normalization, Windows
from dt.models.energy import EnergyConfig, EnergyModel
from dt.models.recipes import recipe
from dt.models.trajectory import TrajectoryConfig, TrajectoryTransformer
from dt.planning.beam import PlanConfig, search
from dt.training.optimizer import FLOAT32, Trainer, faster_dtype

SEARCHED = PlanConfig(horizon=15, beam_width=32)
SHORT = PlanConfig(horizon=5, beam_width=4)
THEIR_WINDOW = 10  # steps
EPISODES = 100
CPU = torch.device("cpu")
RESULT = Path(__file__).parent.parent / "results" / "planning.json"


def planner(episodes: Episodes, config: TrajectoryConfig) -> TrajectoryTransformer:
    """An untrained model with bins fitted to the data."""
    spaces = describe(episodes).spaces
    torch.manual_seed(0)
    model = TrajectoryTransformer(config, spaces).eval()
    model.prepare(episodes, Normalization.of(episodes, spaces))
    return model


def planning(episodes: Episodes, rounds: int) -> list[dict[str, Any]]:
    """Actions per second, with one plan per action."""
    generator = torch.Generator().manual_seed(0)
    ours = planner(episodes, TrajectoryConfig())
    cut = replace(TrajectoryConfig(), context=THEIR_WINDOW, plan=replace(SHORT, context=5))
    theirs = UncachedSearch(planner(episodes, cut), SEARCHED, generator)
    size = SEARCHED.context * ours.per_step + ours.spaces.observation_size
    histories = torch.randint(ours.config.bins, (EPISODES, size), generator=generator)

    def plan(config: PlanConfig, *parts: torch.Tensor) -> None:
        for part in parts:
            search(ours, part, config, ours.config.discount, generator)

    one = histories[:1]
    return [
        compare(
            f"a plan of {SEARCHED.horizon} steps, beam {SEARCHED.beam_width}",
            "every token recomputed, as in the authors' code",
            lambda: rate(lambda: plan(SEARCHED, one), 4),
            lambda: rate(lambda: theirs.best(one), 1),
            rounds,
        ),
        compare(
            f"plans of {SHORT.horizon} steps, beam {SHORT.beam_width}, for {EPISODES} episodes at once",
            "one episode after another, key–value cache",
            lambda: rate(lambda: plan(SHORT, histories), 1, EPISODES),
            lambda: rate(lambda: plan(SHORT, *histories[:10].split(1)), 1, 10),
            rounds,
        ),
    ]


def training(episodes: Episodes, rounds: int) -> list[dict[str, Any]]:
    """Gradient steps per second of an energy model, in each dtype that this CPU supports."""
    chosen = recipe("energy", "paper")
    assert isinstance(chosen.model, EnergyConfig)
    config, spaces = chosen.model, describe(episodes).spaces
    normalization = Normalization.of(episodes, spaces)
    model = EnergyModel(config, spaces)
    model.prepare(episodes, normalization)
    windows = Windows(episodes, normalization, config.horizon, CPU)
    peer = MaskedModel(config.transformer, config.horizon, spaces.observation_size, config.bins)
    theirs = Loop(peer, windows, model.tokens, chosen.train)
    rows = []
    for dtype in dict.fromkeys((faster_dtype(model, CPU), FLOAT32)):
        trainer = Trainer(deepcopy(model), windows, replace(chosen.train, dtype=dtype))
        rows.append(
            compare(
                f"training, {config.horizon} masked actions, batch {trainer.config.batch_size}, {dtype}",
                "one forward pass per masked action, as in the authors' code, float32",
                lambda trainer=trainer: rate(trainer.advance, 3),  # type: ignore[misc]
                lambda: rate(theirs.advance, 1),
                rounds,
            )
        )
    return rows


def measure(rounds: int) -> list[dict[str, Any]]:
    """All comparisons."""
    episodes = data()
    return [*planning(episodes, rounds), *training(episodes, rounds)]


if __name__ == "__main__":
    run(measure, RESULT, "Planning", millions=False)
