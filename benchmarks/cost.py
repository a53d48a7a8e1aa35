"""Training and inference time of each method on one thread: ``python -m benchmarks.cost``.

Training is timed over some gradient steps. Inference is timed in one episode at a time, as on a robot: the
99th percentile of an action's time decides which control frequency a method supports.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter
from scipy.stats import trim_mean

import cartpole_phys  # noqa: F401 - registers the environments
from benchmarks.machine import describe, read
from benchmarks.studies.answer import Answer
from benchmarks.studies.cell import WANTED_SCORE, Cell, Method, is_of, trained, write
from benchmarks.studies.question import BALANCE, QUESTION
from benchmarks.studies.running import DATA, DataOption, console, ready
from benchmarks.studies.score_pictures import COLORS, MARKS, SMALL, draw_intervals, save
from benchmarks.studies.statistics import CUT, FEWEST, mean
from benchmarks.studies.tables import listed, table
from cartpole_phys import commands
from cartpole_phys.data.loading import load_file
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from dt.policy import CheckpointPolicy, load
from dt.training.checkpoint import Checkpoint
from dt.training.loop import best
from dt.training.optimizer import Trainer

RESULT = Path(__file__).parent / "results" / "cost" / "cost.json"
PLOT = RESULT.with_suffix(".png")
TIER = QUESTION.tier(BALANCE, "medium-expert")
METHODS = (*QUESTION.methods, *QUESTION.planners)
LOOPS = (50, 500, 1_000)  # Hz
ROUNDS = 5  # in which all methods take turns, since load varies by the minute
STEPS, WARM = 20, 3  # gradient steps in a round, and uncounted ones before
ACTIONS, SLOW_ACTIONS = 2_000, 200  # in a round, in consecutive episodes; fewer if they take LONG
LONG = 0.05  # s
AXES = {
    "training, s": (10, 20, 50, 100, 200),
    "99th percentile of an action, ms": (0.2, 0.5, 1, 2, 5, 10, 20),
}


class _Contender:
    """A method to be timed."""

    def __init__(self, method: Method, episodes: Episodes, folder: Path) -> None:
        """Load a trained model for inference, and one to continue training, past any warm-up phase."""
        checkpoint, learner = (trained(Cell(TIER, method, 0), folder) for _ in range(2))
        self.method, self.policy = method, load(checkpoint, score=WANTED_SCORE)
        self.parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
        self.trainer = _trainer_of(learner, episodes)
        self.actions: list[float] = []  # s
        self.steps: list[float] = []  # s
        slow = np.median(action_seconds(self.policy, 20)) > LONG
        self.count = SLOW_ACTIONS if slow else ACTIONS

    def take_turn(self) -> None:
        """Time some actions and some gradient steps."""
        self.actions += action_seconds(self.policy, self.count)
        for _ in range(WARM):
            self.trainer.advance()
        for _ in range(STEPS):
            start = time.perf_counter()
            self.trainer.advance()
            self.steps.append(time.perf_counter() - start)

    def result(self) -> dict[str, Any]:
        """What was measured."""
        return {
            "recipe": asdict(self.method.recipe),
            "parameters": self.parameters,
            "step_seconds": float(trim_mean(self.steps, CUT)),  # per gradient step
            "actions": len(self.actions),
            "mean_action_seconds": float(np.mean(self.actions)),
            "median_action_seconds": float(np.median(self.actions)),
            "slow_action_seconds": float(np.percentile(self.actions, 99)),
        }


def _trainer_of(checkpoint: Checkpoint, episodes: Episodes) -> Trainer:
    """A trainer that continues a checkpoint on its own data."""
    model, train = checkpoint.model, checkpoint.recipe.train
    chosen = best(episodes, train.best_share, train.seed)
    return Trainer(model, model.sampler(chosen, checkpoint.normalization, torch.device("cpu")), train)


def action_seconds(policy: CheckpointPolicy, count: int) -> list[float]:
    """Seconds of each of ``count`` actions, in consecutive episodes."""
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
    return seconds


def _result() -> dict[str, Any]:
    """The result.

    Raises:
        InputError: if it has other methods or recipes than the current study.
    """
    result, recipes = read(RESULT), {method.name: method.recipe for method in METHODS}
    for name, own in result["methods"].items():
        if name not in recipes or not is_of(recipes[name], own["recipe"]):
            raise InputError(
                f"Expected {str(RESULT)!r} to be of the methods and recipes that the study has now, got "
                f"another {name}; measure anew with: make cost"
            )
    return result


def cost_table() -> str:
    """Table of training time, inference time, and the control frequencies that each method supports."""
    result = _result()
    rows = []
    for name, own in result["methods"].items():
        slow = own["slow_action_seconds"]
        figures = [own["parameters"], _training_seconds(own)]
        figures += [1e6 * own[f"{statistic}_action_seconds"] for statistic in ("mean", "median", "slow")]
        holds = ["yes" if slow < 1.0 / rate else "no" for rate in LOOPS]
        rows.append([name, *(f"{figure:,.0f}" for figure in figures), *holds])
    headings = ["", "parameters", "training, s", "action, µs: mean", "median", "99th percentile"]
    headings += [f"{rate:,} Hz" for rate in LOOPS]
    fewer = [name for name, own in result["methods"].items() if own["actions"] < ROUNDS * ACTIONS]
    but = f", {ROUNDS * SLOW_ACTIONS:,} of {listed(fewer)}" if fewer else ""
    note = (
        f"One thread; {ROUNDS} interleaved rounds. Training time: interquartile mean of {ROUNDS * STEPS} "
        f"gradient steps times the steps of the recipe; {ROUNDS * ACTIONS:,} actions of each method{but} "
        f"(`python -m benchmarks.cost`: {result['machine']}, {result['date']})."
    )
    return "\n".join([table(headings, rows), "", note])


def _training_seconds(own: dict[str, Any]) -> float:
    """Training time of all gradient steps in a method's recipe."""
    return float(own["step_seconds"] * own["recipe"]["train"]["steps"])


def draw() -> None:
    """Draw the score against training time and against inference time."""
    result, answer = _result(), Answer(QUESTION)
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for method, color, mark in zip(QUESTION.methods, COLORS, MARKS, strict=True):
        scores = answer.together(answer.tiers[BALANCE], method)
        if len(scores) < FEWEST:
            continue
        own = result["methods"][method.name]
        places = _training_seconds(own), 1e3 * own["slow_action_seconds"]
        for panel, place in zip(panels, places, strict=True):
            draw_intervals(panel, [place], [mean(scores)], mark, color, method.name)
    for rate in LOOPS:
        panels[1].axvline(1e3 / rate, color="#bbbbbb", linewidth=0.8)
        panels[1].text(1e3 / rate, 101, f"{rate:,} Hz", fontsize=SMALL, ha="right", rotation=90, va="top")
    for panel, (words, ticks) in zip(panels, AXES.items(), strict=True):
        panel.set(xscale="log", xlabel=words, ylim=(-2, 102))
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.xaxis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel(f"mean score, all tiers of {BALANCE}")
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=SMALL, ncols=4, loc="outside lower left",
                  frameon=False)  # fmt: skip
    save(figure, PLOT)


def cost(data: DataOption = DATA) -> None:
    """Time all methods in interleaved rounds, on an otherwise idle machine; train missing models first."""
    torch.set_num_threads(1)
    episodes = load_file(ready(TIER, QUESTION.results, data))
    contenders = [_Contender(method, episodes, data) for method in METHODS]
    for done in range(1, ROUNDS + 1):
        for contender in contenders:
            contender.take_turn()
        console.print(f"{done} of {ROUNDS} rounds")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    measured = {contender.method.name: contender.result() for contender in contenders}
    write({"methods": measured, **describe("torch")}, RESULT)
    draw()


if __name__ == "__main__":
    commands.run_single(cost)
