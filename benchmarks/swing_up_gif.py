"""Draw the GIF of README.md, the swing-up controller under random pushes.

``python -m benchmarks.swing_up_gif``
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import figures
from cartpole_phys.episodes import Episode
from cartpole_phys.policies.controllers import swing_up
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole

GIF = Path(__file__).parent / "results" / "demo" / "swing-up.gif"
SYSTEM = replace(CartPole.from_id("PhysCartPoleSwingUp-v0"), push_rate=0.3, push_size=150.0)
SEED = 0
EPISODE = 8  # swings up, recovers from one push, falls at the next, and swings up again
STEPS = 500  # 10 s


def episode() -> Episode:
    """The episode that the GIF shows."""
    return play(SYSTEM, swing_up(SYSTEM.params), EPISODE + 1, SEED)[EPISODE]


if __name__ == "__main__":
    figures.animate(GIF, SYSTEM, episode(), STEPS)
    print(f"Wrote {GIF}.")
