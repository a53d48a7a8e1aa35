"""Random pushes on a cart-pole under proportional control: ``python -m benchmarks.shoves``.

Four checks of the simulation: is the motion smooth, does it reach the thresholds, does it stay finite, and
does another seed give another motion?
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.machine import describe, write_json
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.controllers import proportional
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array, FloatArray

COMMAND = "python -m benchmarks.shoves"
RESULTS = Path(__file__).parent / "results" / "physics"
RESULT, PICTURE = RESULTS / "shoves.json", RESULTS / "shoves.png"
SYSTEM = CartPole(push_rate=5.0, push_size=10.0)
GAIN = 2.0  # 1/rad, force = GAIN × θ × force_mag
SEEDS = (0, 1)
EPISODES = 200  # of each seed
TILT, TRACK, TIME = "tilted beyond 12°", "left the track", "time was up"
COLORS = {TILT: "#d55e00", TRACK: "#0072b2", TIME: "#009e73"}  # color-blind-safe
STYLES = {TILT: "-", TRACK: (0, (5, 1.5)), TIME: "-"}
MARKERS = {TILT: "X", TRACK: "D", TIME: "|"}
BINS = [0.5 * i for i in range(21)]  # s


def compute() -> dict[int, Episodes]:
    """Roll out episodes with random pushes for each seed."""
    policy = proportional(GAIN, SYSTEM.continuous)
    return {seed: play(SYSTEM, policy, EPISODES, seed) for seed in SEEDS}


def ending(final: npt.NDArray[np.float32]) -> str:
    """The reason an episode ended, from its last observation."""
    if abs(final[2]) > SYSTEM.task.theta_threshold:
        return TILT
    return TRACK if abs(final[0]) > SYSTEM.task.x_threshold else TIME


def path_of(episodes: Episodes, index: int) -> FloatArray:
    """The states (T + 1, 4) of one episode, the last one included."""
    episode = episodes[index]
    return np.vstack([episode.observations, episode.final_observation]).astype(np.float64)


def summary(played: dict[int, Episodes]) -> dict[str, Any]:
    """The result to be written: the four checks in numbers."""
    first, second = (episodes.infos["push"][episodes.infos["push"] != 0] for episodes in played.values())
    return {
        "command": COMMAND,
        **describe(),
        "push_rate_per_s": SYSTEM.push_rate,
        "push_size_n": SYSTEM.push_size,
        "gain_per_rad": GAIN,
        "episodes": EPISODES,
        "seeds": [_answers(seed, episodes) for seed, episodes in played.items()],
        "pushes": [len(first), len(second)],
        "shared_pushes": len(np.intersect1d(first, second)),
    }


def _answers(seed: int, episodes: Episodes) -> dict[str, Any]:
    """The numbers of one seed."""
    paths = [path_of(episodes, index) for index in range(len(episodes))]
    steps = np.array([np.abs(np.diff(path, axis=0)).max(axis=0) for path in paths]).max(axis=0)
    largest = np.array([np.abs(path).max(axis=0) for path in paths]).max(axis=0)
    endings = [ending(final) for final in episodes.final_observations]
    return {
        "seed": seed,
        "largest_change_in_a_step": {"x_m": steps[0], "theta_deg": float(np.degrees(steps[2]))},
        "largest": {"x_m": largest[0], "theta_deg": float(np.degrees(largest[2]))},
        "ended": {name: endings.count(name) for name in COLORS},
        "all_finite": all(bool(np.isfinite(path).all()) for path in paths),
        "mean_length_s": float(episodes.lengths.mean()) * SYSTEM.params.time_step,
    }


def draw(path: Path, played: dict[int, Episodes], result: dict[str, Any]) -> None:
    """Draw, for each seed, the first episode of every ending and all episode lengths as a PNG."""
    figure = plt.figure(figsize=(12, 6), layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(2.2, 1)))
    grid = left.subplots(3, len(SEEDS), sharex=True, sharey="row", height_ratios=(1, 1, 0.6))
    for column, (seed, episodes) in enumerate(played.items()):
        _draw_seed(grid[:, column], seed, episodes)
    for axes, label in zip(grid[:, 0], ("tilt θ (°)", "position x (m)", "push (N)"), strict=True):
        axes.set_ylabel(label)
    lengths, endings, text = right.subplots(3, 1, height_ratios=(1, 1, 0.5))
    _draw_lengths(lengths, played)
    _draw_endings(endings, result)
    _write_answers(text, result)
    figure.suptitle(
        f"Random pushes of up to {SYSTEM.push_size:g} N, {SYSTEM.push_rate:g} a second, against proportional "
        "control: the first episode of each ending"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_seed(panels: Array, seed: int, episodes: Episodes) -> None:
    """Draw θ, x and pushes over time in three rows."""
    limits = float(np.degrees(SYSTEM.task.theta_threshold)), SYSTEM.task.x_threshold
    for axes, limit in zip(panels, limits, strict=False):
        axes.set_ylim(-1.25 * limit, 1.25 * limit)
        for side in (-limit, limit):
            axes.axhline(side, color="#333333", linewidth=1)
            axes.axhspan(side, 2 * side, color="#eeeeee", zorder=0)
    endings = [ending(final) for final in episodes.final_observations]
    for name, color in COLORS.items():
        states = path_of(episodes, endings.index(name))
        seconds = SYSTEM.params.time_step * np.arange(len(states))
        for axes, values in zip(panels, (np.degrees(states[:, 2]), states[:, 0]), strict=False):
            axes.plot(seconds, values, color=color, linestyle=STYLES[name], linewidth=1.3)
            axes.plot(seconds[-1], values[-1], MARKERS[name], color=color, markersize=8, clip_on=False)
    _draw_pushes(panels[2], episodes, endings.index(TIME))
    panels[0].set_title(f"seed {seed}", fontsize=11)
    for axes in panels:
        axes.set_xlim(0, 10)
        axes.spines[["top", "right"]].set_visible(False)


def _draw_pushes(axes: Axes, episodes: Episodes, index: int) -> None:
    rows = slice(int(episodes.offsets[index]), int(episodes.offsets[index + 1]))
    pushes = episodes.infos["push"][rows]
    hit = np.flatnonzero(pushes)
    axes.vlines(SYSTEM.params.time_step * hit, 0, pushes[hit], color=COLORS[TIME], linewidth=1.4)
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.set(ylim=(-SYSTEM.push_size, SYSTEM.push_size), xlabel="time (s); pushes of the green episode")


def _draw_lengths(axes: Axes, played: dict[int, Episodes]) -> None:
    for (seed, episodes), style in zip(played.items(), ("-", "--"), strict=True):
        seconds = episodes.lengths * SYSTEM.params.time_step
        axes.hist(
            seconds, BINS, histtype="step", linestyle=style, linewidth=1.6, color="#333333", label=str(seed)
        )
    axes.set_title(f"lengths of {EPISODES} episodes", fontsize=11)
    axes.set(xlabel="length (s)", ylabel="episodes", xlim=(0, 10.1))
    axes.legend(title="seed", fontsize=9, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_endings(axes: Axes, result: dict[str, Any]) -> None:
    """Draw the number of episodes by ending for each seed; also the color key."""
    names = list(COLORS)
    for offset, row in zip((-0.2, 0.2), result["seeds"], strict=True):
        counts = [row["ended"][name] for name in names]
        places = np.arange(len(names)) + offset
        axes.barh(places, counts, 0.36, color=COLORS.values(), alpha=1.0 if offset < 0 else 0.6)
        for place, count in zip(places, counts, strict=True):
            axes.text(count + 3, place, f"{count}  (seed {row['seed']})", fontsize=8, va="center")
    axes.set_yticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names], fontsize=9)
    for label, color in zip(axes.get_yticklabels(), COLORS.values(), strict=True):
        label.set(color=color, fontweight="bold")
    axes.invert_yaxis()
    axes.set(xlim=(0, EPISODES), xlabel="episodes")
    axes.spines[["top", "right"]].set_visible(False)


def _write_answers(axes: Axes, result: dict[str, Any]) -> None:
    axes.axis("off")
    axes.text(-0.4, 1, "\n".join(answers(result)), fontsize=9, va="top", linespacing=1.5)


def answers(result: dict[str, Any]) -> list[str]:
    """The four checks and their results, one line each."""
    rows = result["seeds"]
    step = max(row["largest_change_in_a_step"]["theta_deg"] for row in rows)
    reached = [sum(row["ended"][name] for row in rows) for name in (TILT, TRACK)]
    tilt, track = (max(row["largest"][key] for row in rows) for key in ("theta_deg", "x_m"))
    total, shared = sum(result["pushes"]), result["shared_pushes"] or "none"
    return [
        f"Smooth motion: θ changes by at most {step:.1f}° per step of 0.02 s.",
        f"Terminations: {reached[0]} by the threshold of θ, {reached[1]} by that of x.",
        f"No divergence: |θ| ≤ {tilt:.1f}°, |x| ≤ {track:.2f} m.",
        f"Seeds differ: {shared} of {total:,} pushes in common.",
    ]


def main() -> None:
    """Roll out, draw, write and print the results."""
    played = compute()
    result = summary(played)
    write_json(RESULT, result)
    draw(PICTURE, played, result)
    print("\n".join(answers(result)))


if __name__ == "__main__":
    main()
