"""End-to-end demo, from agent to Decision Transformer: ``make demo`` or ``python -m benchmarks.demo``.

Trains a Soft Actor-Critic agent up to a medium score, builds an offline data set with it, trains a Decision
Transformer and behavior cloning on that data set, and evaluates all policies on the same start states.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import figures
from benchmarks.machine import describe, write_json
from benchmarks.studies.cell import ELIGIBLE
from cartpole_phys import commands
from cartpole_phys.data.building.build import Options, build
from cartpole_phys.data.hdf5.file import read
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import mean_interval, normalized_score
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.behavior import from_description
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.rollouts.collect import play
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.system import CartPole
from dt.models.recipes import recipe as model_recipe
from dt.policy import load
from dt.training.checkpoint import Checkpoint
from dt.training.loop import train

ENV_ID = "PhysCartPole-v0"
STEPS = 100_000  # transitions
EPISODES = 100  # per evaluation
EVALUATION_SEED = 1_000
TARGETS = (50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0)  # returns
GIF_STEPS = 300  # 6 s
RESULT, PLOT, GIF = "demo.json", "return-against-target.png", "decision-transformer.gif"

console = Console(stderr=True)


@dataclass(frozen=True)
class Player:
    """A policy to evaluate."""

    name: str
    policy: Policy | CompiledPolicy
    target: float | None = None  # return that it is conditioned on


@contextmanager
def _stage(text: str, seconds: dict[str, float]) -> Iterator[None]:
    """Print a stage of the demo and its duration."""
    start = time.perf_counter()
    console.print(f"[bold]{text}[/bold]")
    yield
    seconds[text] = time.perf_counter() - start
    console.print(f"  {seconds[text]:.1f} s")


def measure(player: Player) -> dict[str, Any]:
    """A row of the table: mean return, and normalized score with its 95 % interval."""
    played = play(CartPole.from_id(ENV_ID), player.policy, EPISODES, EVALUATION_SEED)
    score, low, high = mean_interval(normalized_score(ENV_ID, played.returns))
    return {
        "name": player.name,
        "target": player.target,
        "mean_return": float(played.returns.mean()),
        "score": score,
        "score_low": low,
        "score_high": high,
    }


def _behavior_players(path: Path) -> list[Player]:
    contents = read(path)
    description, weights = contents.metadata["parts"][0], contents.weights["0"]
    return [
        Player("random", uniform()),
        Player(
            "behavior, sampled", from_description({**description, "deterministic": False}, weights).policy
        ),
        Player(
            "behavior, mean action", from_description({**description, "deterministic": True}, weights).policy
        ),
    ]


def _train(kind: str, data: Episodes, seed: int) -> Checkpoint:
    with commands.ProgressBar() as progress:
        progress.stage("training")
        recipe = model_recipe(kind, "tiny", seed=seed)
        return train(
            data, recipe, on_progress=lambda step, loss: progress.optimizing(step, recipe.train.steps, loss)
        )


def run(out: Path, seed: int) -> dict[str, Any]:
    """Run the demo and return its result; the data set stays in ``out``."""
    seconds: dict[str, float] = {}
    with _stage("Training a SAC agent to a medium score and building 100,000 transitions", seconds):
        recipe = Recipe(ENV_ID, "sac", "medium", STEPS, seed)
        with commands.ProgressBar() as progress:
            built = build(recipe, Options(out, overwrite=True), progress)
    data = load_file(built.path)
    with _stage("Training behavior cloning", seconds):
        cloned = _train("bc", data, seed)
    with _stage("Training a Decision Transformer", seconds):
        transformer = _train("decision", data, seed)
    players = [*_behavior_players(built.path), Player("behavior cloning", load(cloned))]
    players += [Player("Decision Transformer", load(transformer, target), target) for target in TARGETS]
    with _stage(f"Evaluating {len(players)} policies on {EPISODES} episodes each", seconds):
        rows = [measure(player) for player in players]
    best = max(rows, key=lambda row: row["score"] if row["target"] else -1.0)
    with _stage("Drawing plot and GIF", seconds):
        swept = [row for row in rows if row["target"] is not None]
        others = [row for row in rows if row["target"] is None]
        figures.plot_targets(out / PLOT, swept, others, transformer.source.max_return)
        shown = play(CartPole.from_id(ENV_ID), load(transformer, best["target"]), 1, EVALUATION_SEED)
        figures.animate(out / GIF, CartPole.from_id(ENV_ID), shown[0], GIF_STEPS)
    return {
        "command": f"python -m benchmarks.demo --seed {seed}",
        **describe("torch"),
        "seconds": seconds,
        "data": {
            "name": built.path.stem,
            "transitions": built.transitions,
            "max_return": transformer.source.max_return,
            ELIGIBLE: asdict(transformer.source.eligible),
        },
        "episodes": EPISODES,
        "seed": EVALUATION_SEED,
        "rows": rows,
    }


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table for the terminal."""
    cells = [
        [
            row["name"],
            "" if row["target"] is None else f"{row['target']:.0f}",
            f"{row['mean_return']:.1f}",
            f"{row['score']:.1f}",
            f"{row['score_low']:.1f} to {row['score_high']:.1f}",
        ]
        for row in rows
    ]
    headings = ("policy", "target", "return", "score", "95 % interval")
    return commands.table(f"Normalized scores on {ENV_ID}, {EPISODES} episodes each", headings, cells)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for data set, result, plot and GIF.")] = Path(
        "demo-output"
    ),
    seed: Annotated[int, typer.Option(help="Random seed of agent, data set and models.")] = 0,
) -> None:
    """Train an agent, build a data set, train a Decision Transformer and evaluate it."""
    result = run(out, seed)
    write_json(out / RESULT, result)
    Console().print(table(result["rows"]))
    console.print(f"Total {sum(result['seconds'].values()):.0f} s. See {out / PLOT} and {out / GIF}.")


if __name__ == "__main__":
    commands.run_single(demo)
