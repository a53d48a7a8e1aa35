"""What each method costs, side by side on one thread: ``python -m benchmarks.cost``.

Training is measured over some of its steps. Acting is one episode at a time, as a robot would: how long the
slowest of a hundred actions takes says which control loop a method can hold.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console

import cartpole_phys  # noqa: F401 - registers the environments
from benchmarks.machine import describe
from benchmarks.studies.answer import Answer
from benchmarks.studies.cell import WANTED_SCORE, Cell, Method, read, trained, write
from benchmarks.studies.question import BALANCE, QUESTION
from benchmarks.studies.running import DATA, DataOption, built
from benchmarks.studies.score_pictures import COLOURS
from benchmarks.studies.score_tables import MISSING
from benchmarks.studies.statistics import interquartile_mean
from benchmarks.studies.tables import table
from cartpole_phys import commands
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.score import return_of_score
from cartpole_phys.episodes import Episodes
from cartpole_phys.files import unfinished
from cartpole_phys.memory import FloatArray
from dt.data.source import describe as describe_data
from dt.data.windows import Normalization
from dt.learning.optimization import Trainer
from dt.models import create
from dt.policy import CheckpointPolicy, load
from dt.training import best

matplotlib.use("Agg")

RESULTS = Path(__file__).parent / "results" / "cost"
PLOT = RESULTS / "cost.png"
(TIER,) = (tier for tier in QUESTION.tiers[BALANCE] if tier.tier == "medium-expert")
METHODS = (*QUESTION.methods, *QUESTION.planners)
LOOPS = (50, 500, 1_000)  # Hz
STEPS, WARM = 100, 5  # of optimisation, and those before that are not counted
ACTIONS, SLOW_ACTIONS = 10_000, 1_000  # of one episode after another; fewer where planning takes long
LONG = 0.02  # s an action, from which on there are fewer


def training_seconds(method: Method, episodes: Episodes) -> float:
    """How long all steps take, after the measure of some."""
    recipe, source = method.recipe, describe_data(episodes)
    chosen = best(episodes, recipe.train.best_share)
    normalization = Normalization.of(chosen, source.spaces)
    model = create(recipe.kind, recipe.model, source.spaces)
    model.prepare(chosen, normalization)
    trainer = Trainer(model, model.sampler(chosen, normalization, torch.device("cpu")), recipe.train)
    seconds = []
    for _ in range(WARM + STEPS):
        start = time.perf_counter()
        trainer.advance()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[WARM:])) * recipe.train.steps


def action_seconds(policy: CheckpointPolicy, count: int) -> FloatArray:
    """How long each of so many actions takes, (count,), in one episode after another."""
    env = gym.make(TIER.env_id)
    seconds: list[float] = []
    while len(seconds) < count:
        observation, _ = env.reset(seed=len(seconds))
        policy.begin(1, np.random.default_rng(len(seconds)))
        reward, over = 0.0, False
        while not over and len(seconds) < count:
            start = time.perf_counter()
            action = policy.act(observation[None], np.array([reward])).actions[0]
            seconds.append(time.perf_counter() - start)
            observation, step_reward, terminated, truncated, _ = env.step(action)
            reward, over = float(step_reward), terminated or truncated
    return np.array(seconds)


def measure(method: Method, episodes: Episodes, folder: Path) -> dict[str, Any]:
    """What a method costs."""
    checkpoint = trained(Cell(TIER, method, 0), folder)
    wanted = return_of_score(TIER.env_id, WANTED_SCORE) if checkpoint.model.uses_target else None
    policy = load(checkpoint, wanted)
    first = action_seconds(policy, 50)
    count = ACTIONS if np.median(first) < LONG else SLOW_ACTIONS
    taken = action_seconds(policy, count)
    return {
        "method": method.name,
        "parameters": sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        "steps": method.recipe.train.steps,
        "training_seconds": training_seconds(method, episodes),
        "actions": count,
        "action_seconds": {"median": float(np.median(taken)), "99 %": float(np.percentile(taken, 99))},
        **describe("torch"),
    }


def _results() -> dict[str, dict[str, Any]]:
    return {method.name: read(path) for method in METHODS if (path := _path(method)).exists()}


def _path(method: Method) -> Path:
    return RESULTS / f"{Cell(TIER, method, 0).path(Path()).stem.removesuffix('-seed0')}.json"


def cost_table() -> str:
    """Training, acting, and the control loops that acting is fast enough for."""
    results, rows = _results(), []
    for method in METHODS:
        if method.name not in results:
            rows.append([method.name, MISSING, *[""] * (3 + len(LOOPS))])
            continue
        result = results[method.name]
        median, slow = result["action_seconds"]["median"], result["action_seconds"]["99 %"]
        holds = ["yes" if slow < 1.0 / rate else "no" for rate in LOOPS]
        seconds = [f"{one * 1e6:,.0f}" for one in (median, slow)]
        rows.append([method.name, f"{result['parameters']:,}", f"{result['training_seconds']:,.0f}", *seconds,
                     *holds])  # fmt: skip
    headings = [
        "",
        "parameters",
        "training, s",
        "action, µs",
        "99th percentile, µs",
        *(f"{r:,} Hz" for r in LOOPS),
    ]
    made = sorted({f"{result['machine']}, {result['date']}" for result in results.values()})
    fewer = [result["method"] for result in results.values() if result["actions"] < ACTIONS]
    note = (
        f"One thread; training by the median of {STEPS} steps, actions of one episode after another, "
        f"{ACTIONS:,} of them" + (f" ({SLOW_ACTIONS:,} of {', '.join(fewer)})" if fewer else "")
    )
    return "\n".join([table(headings, rows), "", f"{note} (`python -m benchmarks.cost`: {'; '.join(made)})."])


def draw() -> None:
    """Score against training and against acting."""
    results, answer = _results(), Answer(QUESTION)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for method, colour in zip(QUESTION.methods, COLOURS, strict=True):
        scores = answer.together(answer.tiers[BALANCE], method)
        if method.name not in results or not len(scores):
            continue
        score, result = interquartile_mean(scores), results[method.name]
        reach = [[score.value - score.low], [score.high - score.value]]
        places = result["training_seconds"], 1e6 * result["action_seconds"]["99 %"]
        for panel, place in zip(panels, places, strict=True):
            panel.errorbar([place], [score.value], yerr=reach, fmt="o", color=colour, label=method.name)
    for rate in LOOPS:
        panels[1].axvline(1e6 / rate, color="#bbbbbb", linewidth=0.8)
        panels[1].text(1e6 / rate, 101, f"{rate:,} Hz", fontsize=7, ha="right", rotation=90, va="top")
    for panel, words in zip(panels, ("training, s", "99th percentile of an action, µs"), strict=True):
        panel.set(xscale="log", xlabel=words, ylim=(-2, 102))
    panels[0].set_ylabel(f"score, all tiers of {BALANCE}")
    panels[0].legend(fontsize=7, frameon=False)
    with unfinished(PLOT) as partial:
        figure.savefig(partial, format="png", dpi=110)
    plt.close(figure)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def cost(data: DataOption = DATA) -> None:
    """Measure what is not measured yet, on an otherwise idle machine."""
    torch.set_num_threads(1)
    episodes = load_file(built(TIER, data))
    RESULTS.mkdir(parents=True, exist_ok=True)
    for method in METHODS:
        if not _path(method).exists():
            Console(stderr=True).print(f"Measuring {method.name}")
            write(measure(method, episodes, data), _path(method))
    draw()


if __name__ == "__main__":
    commands.run(app)
