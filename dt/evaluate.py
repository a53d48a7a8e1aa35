"""Command-line evaluation at one or more target returns: ``python -m dt.evaluate CHECKPOINT``."""

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
from cartpole_phys.data.score import return_of_score
from cartpole_phys.utils.errors import InputError, printable, require_suffix
from dt.plotting import pyplot, save_plot
from dt.scores import Evaluation, default_targets, evaluate
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import Checkpoint

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def evaluate_command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder, from python -m dt.train.")],
    target: Annotated[list[float] | None, typer.Option(help="Target return; may be repeated.")] = None,
    target_score: Annotated[
        list[float] | None, typer.Option(help="Target as a normalized score: 0 random, 100 the best known.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="Episodes per target.")] = 100,
    seed: Annotated[int, typer.Option(help="Random seed of start states and bootstrap.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Plot return against target to this PNG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    quiet: commands.QuietOption = False,
) -> None:
    """Evaluate a trained model and print its returns and normalized scores."""
    require_suffix("--plot", plot, ".png")
    if plot is not None:
        pyplot()  # fail before the evaluation if Matplotlib is missing
    loaded = checkpoints.load(checkpoint)
    given = [*(target or []), *(return_of_score(loaded.source.env_id, one) for one in target_score or [])]
    if (given or plot is not None) and not loaded.model.return_conditioned:
        option = "--target" if given else "--plot"
        raise InputError(
            f"Expected a return-conditioned model, got {loaded.recipe.kind!r}; leave out {option}."
        )
    targets = list(dict.fromkeys(given)) or default_targets(loaded)
    console = Console(stderr=True, quiet=quiet or as_json)
    with console.status(f"Evaluating {episodes} episodes for each of {len(targets)} targets …"):
        results = evaluate(loaded, targets, episodes, seed)
    if as_json:
        print(json.dumps(_report(loaded, checkpoint, results, episodes, seed), indent=2))
    else:
        Console().print(_table(loaded, results, episodes))
    if plot is not None:
        save_plot(loaded, results, plot)


def _report(
    loaded: Checkpoint, path: Path, results: Sequence[Evaluation], episodes: int, seed: int
) -> dict[str, object]:
    return {
        "checkpoint": str(path),
        "model": loaded.recipe.kind,
        "step": loaded.step,
        "dataset": loaded.source.dataset_name,
        "env_id": loaded.source.env_id,
        "env_kwargs": dict(loaded.source.env_kwargs),
        "episodes": episodes,
        "seed": seed,
        "results": [asdict(result) for result in results],
    }


def _table(loaded: Checkpoint, results: Sequence[Evaluation], episodes: int) -> Table:
    name = printable(loaded.source.dataset_name)  # untrusted
    rows = [
        [
            "–" if result.target is None else f"{result.target:.1f}",
            *_interval(result.mean_return, result.return_low, result.return_high),
            *_interval(result.score, result.score_low, result.score_high),
        ]
        for result in results
    ]
    headings = ("target", "mean return", "95 % interval", "score", "95 % interval")
    title = f"{loaded.recipe.kind} on {name}, {episodes} episodes each"
    return commands.table(title, headings, rows, text_columns=0)


def _interval(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    if value is None:
        return "–", "–"
    return f"{value:.1f}", f"{low:.1f} to {high:.1f}"


def main() -> None:
    """Entry point of ``python -m dt.evaluate``."""
    commands.run(app)


if __name__ == "__main__":
    main()
