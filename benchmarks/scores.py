"""Does a model trained on data do better than who made them? ``python -m benchmarks.scores``.

Every finished cell is a file of its own, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.studies.cell import Cell, Method, Protocol
from benchmarks.studies.running import run
from cartpole_phys import commands
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.processors import processors
from dt.models import recipe

RESULTS = Path(__file__).parent / "results" / "scores"
DATA = Path("benchmark-data")
PROTOCOL = Protocol(episodes=100, seeds=5, curve_points=4)
TIERS = (
    Recipe(policy="sac", tier="medium"),
    Recipe(policy="sac", tier="medium-replay"),
    Recipe(policy="sac", tier="medium-expert"),
    Recipe(policy="heuristic", tier="mixed"),
)
DECISION, CLONING, BEST_CLONING, IMPLICIT = "Decision Transformer", "BC", "10 % BC", "IQL"
METHODS = (
    Method(CLONING, recipe("bc", "tiny")),
    Method(BEST_CLONING, recipe("bc", "tiny", best_share=0.1)),
    Method(DECISION, recipe("decision", "tiny")),
    Method(IMPLICIT, recipe("iql", "tiny")),
)
CELLS = tuple(
    Cell(tier, method, seed) for seed in range(PROTOCOL.seeds) for tier in TIERS for method in METHODS
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def scores(
    data: Annotated[Path, typer.Option(help="Folder for the data sets.")] = DATA,
    jobs: Annotated[int, typer.Option(help="Models trained at once, each on one thread.")] = processors(),
) -> None:
    """Train every method on every tier with every seed, and play them; what is done already stays."""
    run(CELLS, PROTOCOL, RESULTS, data, jobs)


if __name__ == "__main__":
    commands.run(app)
