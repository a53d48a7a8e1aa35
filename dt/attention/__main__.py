"""Command-line attention analysis of a trained model: ``python -m dt.attention CHECKPOINT``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cartpole_phys import commands
from cartpole_phys.utils.errors import printable, require_suffix
from dt.attention.figures import save_maps
from dt.attention.maps import attention_maps, rollout_windows, untrained
from dt.attention.measures import Measure, measure
from dt.plotting import pyplot
from dt.training import checkpoint as checkpoints

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def attention(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder, from python -m dt.train.")],
    episodes: Annotated[int, typer.Option(help="Number of episodes; one window of each is analyzed.")] = 50,
    seed: Annotated[int, typer.Option(help="Random seed of start states and windows.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Plot the map of each layer and head to this PNG file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measures as JSON.")] = False,
    quiet: commands.QuietOption = False,
) -> None:
    """Measure the attention of a trained model in its own episodes, compared with the untrained model."""
    require_suffix("--plot", plot, ".png")
    if plot is not None:
        pyplot()  # fail before the rollouts if Matplotlib is missing
    loaded = checkpoints.load(checkpoint)
    with Console(stderr=True, quiet=quiet or as_json).status(f"Playing {episodes} episodes …"):
        windows = rollout_windows(loaded, episodes, seed)
        maps = attention_maps(loaded.model, windows)
    measures = measure(maps, attention_maps(untrained(loaded), windows))
    title = printable(f"{loaded.recipe.kind} on {loaded.source.dataset_name}")
    if plot is not None:
        save_maps(maps, title, plot)
    if as_json:
        print(
            json.dumps(
                {"checkpoint": str(checkpoint), "measures": [asdict(one) for one in measures]}, indent=2
            )
        )
    else:
        Console().print(_table(title, measures))


def _table(title: str, measures: Sequence[Measure]) -> Table:
    rows = [
        [
            one.name,
            f"{one.trained:.3f}",
            f"{one.low:.3f} to {one.high:.3f}",
            f"{one.untrained:.3f}",
            f"{one.uniform:.3f}",
        ]
        for one in measures
    ]
    headings = ("attention to", "trained", "95 % interval", "untrained", "uniform")
    return commands.table(title, headings, rows)


def main() -> None:
    """Entry point of ``python -m dt.attention``."""
    commands.run(app)


if __name__ == "__main__":
    main()
