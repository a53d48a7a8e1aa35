"""Energy drift of a free pole under each integrator: ``python -m benchmarks.energy_drift``.

Without force and friction the energy is constant, so all of its change is the integrator's error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe, write_json
from cartpole_phys import commands
from cartpole_phys.batch import move
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.physics import Params, energy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import FloatArray

COMMAND = "python -m benchmarks.energy_drift"
RESULTS = Path(__file__).parent / "results" / "physics"
RESULT, PICTURE = RESULTS / "energy-drift.json", RESULTS / "energy-drift.png"
SHORT, LONG = 1_000, 50_000  # steps
# Start angles (rad, at rest, x = 0) and the resulting motion of the pole.
STARTS = {
    "swings gently, θ₀ = π − 0.5": np.pi - 0.5,
    "swings from level, θ₀ = π/2": np.pi / 2,
    "falls from upright, θ₀ = 0.05": 0.05,
}
# Color (color-blind-safe), line style, and vertical offset of the label in points.
STYLES = {
    "euler": ("#d55e00", "-", 4),
    "semi_implicit_euler": ("#0072b2", "-", 3),
    "symplectic_euler": ("#009e73", "--", -6),
    "rk4": ("#555555", "-.", 0),
}


@dataclass(frozen=True)
class Drift:
    """The energy error of one integrator from one start."""

    integrator: str
    start: str  # a key of STARTS
    errors: FloatArray  # (LONG + 1,), |E(t) − E(0)| in % of 2 m g l

    def largest(self, steps: int) -> float:
        """The largest error during the first ``steps`` steps, in %."""
        return float(self.errors[: steps + 1].max())


def free_energies(integrator: str, angles: FloatArray, steps: int) -> FloatArray:
    """Energies (steps + 1, n) in J of poles released at rest at ``angles`` (n,), without force."""
    system = CartPole(integrator=integrator)
    states = np.zeros((4, len(angles)))
    states[2] = angles
    forces = np.zeros(len(angles))
    energies = np.empty((steps + 1, len(angles)))
    energies[0] = energy(states, system.params)
    for step in range(1, steps + 1):
        move(system, states, forces)  # a free pole is not stopped where an episode would end
        energies[step] = energy(states, system.params)
    return energies


def compute() -> list[Drift]:
    """The drift of every integrator from every start."""
    params = Params()
    height = 2 * params.pole_mass * params.gravity * params.half_length  # J, from hanging to upright
    drifts = []
    for integrator in INTEGRATORS:
        energies = free_energies(integrator, np.array(list(STARTS.values())), LONG)
        errors = 100 * np.abs(energies - energies[0]) / height
        drifts += [Drift(integrator, start, errors[:, i]) for i, start in enumerate(STARTS)]
    return drifts


def summary(drifts: list[Drift]) -> dict[str, Any]:
    """The result to be written: the largest errors after few and after many steps."""
    rows = [
        {
            "integrator": drift.integrator,
            "start": drift.start,
            "start_angle_rad": STARTS[drift.start],
            "short_percent": drift.largest(SHORT),
            "long_percent": drift.largest(LONG),
        }
        for drift in drifts
    ]
    return {
        "command": COMMAND,
        **describe(),
        "time_step_s": Params().time_step,
        "short_steps": SHORT,
        "long_steps": LONG,
        "rows": rows,
    }


def draw(path: Path, drifts: list[Drift]) -> None:
    """Draw the largest error so far over time as a PNG, one panel for each start state."""
    figure, panels = plt.subplots(1, len(STARTS), figsize=(11, 4.2), sharey=True, layout="constrained")
    for axes, start in zip(panels, STARTS, strict=True):
        for drift in drifts:
            if drift.start == start:
                _draw_line(axes, drift)
        axes.set_title(start, fontsize=10)
        axes.set(xscale="log", yscale="log", xlabel="time since letting go (s)", xlim=(0.02, 1_000))
        axes.axhline(100, color="#bbbbbb", linewidth=0.8, zorder=0)
        axes.axvline(SHORT * Params().time_step, color="#bbbbbb", linewidth=0.8, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    panels[0].set_ylabel("largest |ΔE| so far (% of 2 m g l)")
    panels[0].set_ylim(1e-9, 1e4)
    panels[0].text(0.023, 140, "100 % = 2 m g l", fontsize=8, color="#666666")
    panels[0].text(23, 2e-9, f"{SHORT:,} steps", fontsize=8, color="#666666")
    for drift in drifts:
        if drift.start == list(STARTS)[-1]:
            _label_line(panels[-1], drift)
    figure.suptitle(
        "A free pole without friction keeps its energy; each integrator's error at steps of 0.02 s"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_line(axes: Axes, drift: Drift) -> None:
    color, style, _ = STYLES[drift.integrator]
    seconds = Params().time_step * np.arange(len(drift.errors))
    axes.plot(
        seconds[1:], np.maximum.accumulate(drift.errors)[1:], color=color, linestyle=style, linewidth=1.8
    )


def _label_line(axes: Axes, drift: Drift) -> None:
    """Write the integrator's name at the right end of its line."""
    color, _, lift = STYLES[drift.integrator]
    axes.annotate(
        drift.integrator,
        (LONG * Params().time_step, drift.largest(LONG)),
        (6, lift),
        textcoords="offset points",
        color=color,
        fontsize=9,
        fontweight="bold",
        verticalalignment="center",
        annotation_clip=False,
    )


def percent(value: float) -> str:
    """A number of any size with two or three significant digits."""
    return f"{value:,.0f}" if value >= 10 else f"{float(f'{value:.2g}'):.10f}".rstrip("0").rstrip(".")


def table(result: dict[str, Any]) -> Table:
    """The largest errors as a table for the terminal."""
    rows = [
        [row["integrator"], row["start"], percent(row["short_percent"]), percent(row["long_percent"])]
        for row in result["rows"]
    ]
    headings = ("integrator", "start", f"{SHORT:,} steps", f"{LONG:,} steps")
    return commands.table("Largest |ΔE| of a free pole, % of 2 m g l", headings, rows, text_columns=2)


def main() -> None:
    """Compute, print, draw and write."""
    drifts = compute()
    result = summary(drifts)
    write_json(RESULT, result)
    draw(PICTURE, drifts)
    Console().print(table(result))


if __name__ == "__main__":
    main()
