"""Do models do better than who made their data? What is trained on what, and how it is played."""

from __future__ import annotations

from pathlib import Path

from benchmarks.studies.cell import Cell, Method, Protocol
from cartpole_phys.data.recipe import Recipe
from dt.models import recipe

RESULTS = Path(__file__).parent.parent / "results" / "scores"
PROTOCOL = Protocol(episodes=100, seeds=5, curve_points=4)
TIERS = (
    Recipe(policy="sac", tier="medium"),
    Recipe(policy="sac", tier="medium-replay"),
    Recipe(policy="sac", tier="medium-expert"),
    Recipe(policy="heuristic", tier="mixed"),
)
CLONING = Method("BC", recipe("bc", "tiny"))
DECISION = Method("Decision Transformer", recipe("decision", "tiny"))
METHODS = (
    CLONING,
    Method("10 % BC", recipe("bc", "tiny", best_share=0.1)),
    DECISION,
    Method("IQL", recipe("iql", "tiny")),
)
CELLS = tuple(
    Cell(tier, method, seed) for seed in range(PROTOCOL.seeds) for tier in TIERS for method in METHODS
)
