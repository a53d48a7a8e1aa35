"""Plot of the score against the target return, and GIFs of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from cartpole_phys.batch import Columns
from cartpole_phys.episodes import Episode
from cartpole_phys.rendering.draw import draw
from cartpole_phys.system import CartPole

GIF_STRIDE = 2  # steps between two frames: 25 frames a second at a time step of 0.02 s
GIF_WIDTH = 420  # pixels
GIF_COLORS = 64
LINES = (
    ("-", "#555555"),
    ("--", "#0072b2"),
    ("-.", "#d55e00"),
    (":", "#009e73"),
)  # color-blind-safe


def plot_targets(
    path: Path, swept: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], target_of_data: float
) -> None:
    """Scores of a return-conditioned model over its targets, with the other policies as lines.

    Args:
        path: where the PNG goes.
        swept: rows with ``target``, ``score``, ``score_low`` and ``score_high``.
        others: rows with ``name`` and ``score``.
        target_of_data: the highest return in the data.
    """
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    targets = np.array([row["target"] for row in swept])
    scores, low, high = (
        np.array([row[key] for row in swept]) for key in ("score", "score_low", "score_high")
    )
    axes.fill_between(targets, low, high, alpha=0.25, color="#cc79a7", linewidth=0)
    axes.plot(targets, scores, "o-", color="#cc79a7", label="Decision Transformer")
    for row, (style, color) in zip(others, LINES, strict=False):
        axes.axhline(row["score"], linestyle=style, color=color, label=row["name"])
    axes.axvspan(target_of_data, targets.max(), color="#eeeeee", zorder=0)
    axes.text(target_of_data, 2, " beyond the data", fontsize=8, color="#777777")
    axes.set(xlabel="target return (steps)", ylabel="normalized score", ylim=(-5, 105))
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def animate(path: Path, system: CartPole, episode: Episode, steps: int) -> None:
    """A GIF of an episode's first ``steps`` steps, in real time.

    Args:
        path: where the GIF goes.
        system: the environment that the episode was played in.
        episode: with the state (``qpos``, ``qvel``) and, if any, the pushes of each step in its infos.
        steps: how many of its steps to draw.
    """
    columns, frames = Columns(system, 1), []
    states = np.stack([episode.infos["qpos"], episode.infos["qvel"]], axis=2)  # (T, 2, 2)
    pushes = episode.infos.get("push", np.zeros(len(states)))  # (T,), N
    for t in range(0, min(steps, len(states)), GIF_STRIDE):
        columns.states[:, 0] = states[t].ravel()  # x, ẋ, θ, θ̇
        columns.set_actions(episode.actions[t : t + 1])
        shown = pushes[t : t + GIF_STRIDE]  # a push lasts for one step: none falls between two frames
        columns.pushes[0] = shown[np.abs(shown).argmax()]
        picture = Image.fromarray(draw(columns, 0))
        size = (GIF_WIDTH, round(GIF_WIDTH * picture.height / picture.width))
        frames.append(picture.resize(size, Image.Resampling.LANCZOS).quantize(GIF_COLORS))
    duration = round(1000 * system.params.time_step * GIF_STRIDE)  # ms
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration, loop=0, optimize=True)
