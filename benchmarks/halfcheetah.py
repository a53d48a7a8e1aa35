"""Planning on HalfCheetah: model error by horizon, and returns and time by beam width.

``python -m benchmarks.halfcheetah`` builds a small SAC set, trains a Decision and a Trajectory Transformer on
most of its episodes, and evaluates both on held-out episodes and by rollouts. Existing results are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from benchmarks.machine import describe, read
from benchmarks.studies.cell import write
from benchmarks.studies.horizons import action_errors, observation_errors
from benchmarks.studies.running import DATA, DataOption, built, console
from benchmarks.studies.tables import interval, made, table
from cartpole_phys import commands
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe as DataRecipe
from cartpole_phys.data.score import mean_interval
from cartpole_phys.episodes import Episodes
from dt.data.token_windows import step_numbers
from dt.data.windows import Windows
from dt.models.decision import DecisionTransformer
from dt.models.gpt import TransformerConfig
from dt.models.recipes import Recipe, recipe
from dt.models.trajectory import TrajectoryConfig, TrajectoryTransformer
from dt.planning.beam import PlanConfig
from dt.policy import load
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import Checkpoint
from dt.training.loop import train

DATASET = DataRecipe("HalfCheetah-v5", "sac", "expert", steps=100_000, train_steps=60_000)
RESULTS = Path(__file__).parent / "results" / "halfcheetah"
HELD_OUT = 0.2  # of the episodes
KNOWN, WINDOW, WINDOWS = 2, 10, 200  # steps before the first prediction, steps in all, and how many of them
WIDTHS = (1, 2, 4, 8, 16, 32)
EPISODES, STEPS, SEED = 10, 200, 1_000  # that are played, and the first one's seed
TIMED = 20  # actions

SHAPE = TransformerConfig(layers=2, heads=2, width=64, activation="gelu", dropout=0.0)
PLANNER = TrajectoryConfig(
    context=WINDOW, bins=50, transformer=SHAPE, plan=PlanConfig(horizon=5, beam_width=4, context=5)
)


def recipes() -> dict[str, Recipe]:
    """The recipes of the trained models, by name."""
    trajectory = recipe("trajectory", "tiny", steps=4_000)
    trajectory = replace(trajectory, model=PLANNER, train=replace(trajectory.train, batch_size=32))
    return {"decision": recipe("decision", "tiny"), "trajectory": trajectory}


def measure_horizon(models: dict[str, Checkpoint], rest: Episodes) -> dict[str, Any]:
    """Prediction errors by number of steps ahead, with 95 % intervals over windows."""
    starts = _starts(rest)
    trajectory, decision = models["trajectory"], models["decision"]
    planner, actor = trajectory.model, decision.model
    assert isinstance(planner, TrajectoryTransformer)
    assert isinstance(actor, DecisionTransformer)
    numbers = torch.as_tensor(step_numbers(rest, trajectory.normalization, 0.99, None)).float()
    steps = starts[:, None] + torch.arange(WINDOW)  # (B, K)
    predicted, still = observation_errors(planner, numbers[steps], KNOWN)
    windows = Windows(rest, decision.normalization, WINDOW, torch.device("cpu")).at(starts)
    own, recorded = action_errors(actor, windows, KNOWN)
    return {
        "observations, Trajectory Transformer": _intervals(predicted),
        "observations, predicting no change": _intervals(still),
        "actions, Decision Transformer, after its own actions": _intervals(own),
        "actions, Decision Transformer, after recorded actions": _intervals(recorded),
    }


def _starts(rest: Episodes) -> Tensor:
    """Start rows of whole windows, drawn at random."""
    room = np.concatenate(
        [np.arange(first, last - WINDOW + 1) for first, last in pairwise(rest.offsets.tolist())]
    )
    return torch.as_tensor(np.random.default_rng(SEED).choice(room, WINDOWS, replace=False))


def _intervals(errors: Tensor) -> list[tuple[float, float, float]]:
    """Mean and interval of errors (B, H) for each step ahead."""
    return [mean_interval(column.double().numpy()) for column in errors.T]


def with_beam(model: Checkpoint, width: int) -> Checkpoint:
    """The same model, planning with the given beam width."""
    assert isinstance(model.model, TrajectoryTransformer)
    config = model.model.config
    model.model.config = replace(config, plan=replace(config.plan, beam_width=width))
    return model


def measure_times(model: Checkpoint) -> dict[str, float]:
    """Seconds per action in a single episode on one thread, by beam width."""
    torch.set_num_threads(1)
    return {str(width): _seconds(with_beam(model, width)) for width in WIDTHS}


def play(model: Checkpoint, target: float | None = None) -> list[float]:
    """Returns of episodes of ``STEPS`` steps."""
    backend = replace(DATASET, env_kwargs={"max_episode_steps": STEPS}).backend
    return [float(one) for one in backend.play(load(model, target), EPISODES, SEED).returns]


def _seconds(model: Checkpoint) -> float:
    """Median seconds per action in a single episode."""
    policy, random = load(model), np.random.default_rng(SEED)
    observations = random.normal(size=(TIMED + 5, 1, model.source.spaces.observation_size)).astype(np.float32)
    policy.begin(1, random)
    times = []
    for observation in observations:
        start = time.perf_counter()
        policy.act(observation, np.zeros(1))
        times.append(time.perf_counter() - start)
    return float(np.median(times[5:]))  # with a whole context


def horizon_table() -> str:
    """Table of errors by number of steps ahead."""
    result = read(RESULTS / "horizon.json")
    ahead = [f"{step + 1}" for step in range(max(map(len, result["errors"].values())))]
    rows = [[name, *(interval(error, 2) for error in errors)] for name, errors in result["errors"].items()]
    rows = [row + [""] * (len(ahead) + 1 - len(row)) for row in rows]
    return table(["error by steps ahead", *ahead], rows)


def width_table() -> str:
    """Table of return and time by beam width."""
    timed, decision = read(RESULTS / "times.json"), read(RESULTS / "decision.json")
    played = [read(_width_path(width)) for width in WIDTHS]
    narrowest, rows = np.array(played[0]["returns"]), []
    for width, result in zip(WIDTHS, played, strict=True):
        more = "" if width == WIDTHS[0] else _told(result["returns"] - narrowest)
        milliseconds = 1e3 * timed["seconds"][str(width)]
        rows.append([f"beam {width}", _told(result["returns"]), more, f"{milliseconds:.0f}"])
    headings = ["Trajectory Transformer", f"return of {STEPS} steps", f"minus beam {WIDTHS[0]}"]
    note = (
        f"{EPISODES} episodes with the same start states for every beam width, so differences are paired by "
        f"episode; plans of {PLANNER.plan.horizon} steps; the time is the median of {TIMED} actions of one "
        f"episode on one thread. The Decision Transformer, conditioned on the best return of its data, has a "
        f"return of {_told(decision['returns'])}; the first {STEPS} steps of its data have "
        f"{_told(decision['data_returns'])}. {', '.join(made([timed, decision, *played]))}."
    )
    return "\n".join([table([*headings, "ms per action"], rows), "", note])


def _told(returns: ArrayLike) -> str:
    """The mean with its interval."""
    return interval(mean_interval(np.asarray(returns)), 0)


def _width_path(width: int) -> Path:
    return RESULTS / f"beam{width}.json"


def _trained(folder: Path, episodes: Episodes) -> dict[str, Checkpoint]:
    """The trained models; those without a checkpoint are trained."""
    models = {}
    for kind, chosen in recipes().items():
        out = folder / f"halfcheetah-{kind}"
        console.print(f"Training {kind}")
        train(episodes, chosen, out, resume=checkpoints.exists(out))
        models[kind] = checkpoints.load(out)
    return models


def _unless_there(path: Path, result: Callable[[], dict[str, Any]]) -> None:
    if not path.exists():
        console.print(f"Measuring {path.stem}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(result(), path)


def _split(folder: Path) -> Sequence[Episodes]:
    """Training and held-out episodes."""
    episodes = load_file(built(DATASET, folder))
    episodes = episodes.filter(episodes.eligible)
    first = round(len(episodes) * (1.0 - HELD_OUT))
    return episodes.select(np.arange(first)), episodes.select(np.arange(first, len(episodes)))


def halfcheetah(data: DataOption = DATA) -> None:
    """Train a Decision and a Trajectory Transformer on HalfCheetah, and measure their prediction horizon."""
    learned, rest = _split(data)
    models = _trained(data, learned)
    _unless_there(
        RESULTS / "horizon.json", lambda: {"errors": measure_horizon(models, rest), **describe("torch")}
    )
    _unless_there(
        RESULTS / "decision.json",
        lambda: {
            "returns": play(models["decision"]),
            "data_returns": [float(episode.rewards[:STEPS].sum()) for episode in learned],
            **describe("torch"),
        },
    )
    planner = models["trajectory"]
    for width in WIDTHS:
        _unless_there(
            _width_path(width),
            lambda width=width: {"returns": play(with_beam(planner, width)), **describe("torch")},  # type: ignore[misc]
        )
    _unless_there(RESULTS / "times.json", lambda: {"seconds": measure_times(planner), **describe("torch")})


if __name__ == "__main__":
    commands.run_single(halfcheetah)
