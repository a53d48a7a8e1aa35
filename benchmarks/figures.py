"""Pictures of the demo: a plot of return against target return, and a GIF of a policy at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from cartpole_phys.batch import Columns
from cartpole_phys.episodes import Episode
from cartpole_phys.rendering.draw import draw
from cartpole_phys.system import CartPole

matplotlib.use("Agg")

GIF_STRIDE = 2  # steps between two frames: 25 frames a second at a time step of 0.02 s
GIF_SIZE = (420, 210)  # pixels
GIF_COLOURS = 64
LINES = (("-", "#555555"), ("--", "#0072b2"), ("-.", "#d55e00"), (":", "#009e73"))  # colour-blind-safe


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
    for row, (style, colour) in zip(others, LINES, strict=False):
        axes.axhline(row["score"], linestyle=style, color=colour, label=row["name"])
    axes.axvspan(target_of_data, targets.max(), color="#eeeeee", zorder=0)
    axes.text(target_of_data, 2, " beyond the data", fontsize=8, color="#777777")
    axes.set(xlabel="target return (steps)", ylabel="normalized score", ylim=(-5, 105))
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def animate(path: Path, system: CartPole, episode: Episode, steps: int) -> None:
    """A GIF of a balance episode's first ``steps`` steps, in real time."""
    columns, frames = Columns(system, 1), []
    for t in range(0, min(steps, len(episode.actions)), GIF_STRIDE):
        columns.states[:, 0] = episode.observations[t]
        columns.set_actions(episode.actions[t : t + 1])
        picture = Image.fromarray(draw(columns, 0))
        frames.append(picture.resize(GIF_SIZE, Image.Resampling.LANCZOS).quantize(GIF_COLOURS))
    duration = round(1000 * system.params.time_step * GIF_STRIDE)  # ms
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration, loop=0, optimize=True)
