"""Command-line trainer: ``python -m dt.train DATASET``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from cartpole_phys import commands
from cartpole_phys.data.loading import load_whole
from dt.models.recipes import KINDS, SIZES, recipe
from dt.plotting import learning_curves
from dt.training import distributed
from dt.training.checkpoint import Checkpoint
from dt.training.loop import SAVE_EVERY, ShouldStop, best, train
from dt.training.optimizer import AUTO, with_steps

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train_command(
    dataset: Annotated[
        Path, typer.Argument(help="A D4RL HDF5 file, a folder of shards or the name of a released data set.")
    ],
    model: Annotated[str, typer.Option(help=f"Model kind: {', '.join(KINDS)}.")] = "decision",
    size: Annotated[
        str, typer.Option(help=f"Preset of model size and hyperparameters: {', '.join(SIZES)}.")
    ] = "tiny",
    steps: Annotated[int | None, typer.Option(help="Gradient steps; default: the preset's.")] = None,
    best_share: Annotated[
        float, typer.Option(help="Fraction of the transitions to train on, taken from the best episodes.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, or auto (the faster one on this machine).")
    ] = AUTO,
    out: Annotated[Path | None, typer.Option(help="Checkpoint folder.")] = None,
    save_every: Annotated[int, typer.Option(help="Gradient steps between checkpoints.")] = SAVE_EVERY,
    resume: Annotated[
        bool, typer.Option(help="Resume from the checkpoint; repeat the other options.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing checkpoint.")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Log folder for TensorBoard: tensorboard --logdir FOLDER.")
    ] = None,
    compiled: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Compile the loss (torch.compile); default: on a GPU only."
        ),
    ] = None,
    quiet: commands.QuietOption = False,
) -> None:
    """Train a sequence model or a baseline on an offline data set."""
    chosen = recipe(model, size, steps, seed, dtype, best_share)
    episodes = load_whole(dataset)
    chosen = replace(chosen, train=with_steps(chosen.train, best(episodes, best_share, seed).steps))
    if out is None:
        share = "" if best_share == 1.0 else f"-best{best_share:g}"
        out = Path("checkpoints") / f"{dataset.stem}-{model}{share}-{size}-seed{seed}"
    with (
        distributed.process_group(),
        commands.ProgressBar(quiet or distributed.rank() > 0) as bar,
        learning_curves(tensorboard if distributed.rank() == 0 else None, chosen.train) as draw,
        _stop_on_interrupt() as should_stop,
    ):

        def report(step: int, loss: float) -> None:
            bar.optimizing(step, chosen.train.steps, loss)
            draw(step, loss)

        trained = train(
            episodes,
            chosen,
            out,
            resume=resume,
            overwrite=overwrite,
            save_every=save_every,
            compiled=compiled,
            on_progress=report,
            should_stop=should_stop,
        )
        if distributed.rank() == 0:
            commands.say(*_summary(out, trained))
    if should_stop():
        raise typer.Exit(commands.INTERRUPTED)


def _summary(out: Path, trained: Checkpoint) -> list[str]:
    config = trained.recipe.train
    missing = "" if trained.step >= config.steps else f" of {config.steps:,}; add --resume to continue"
    steps = f"{trained.step:,} steps{missing}"
    return [f"{out}", f"  {trained.recipe.kind}, {steps}, {config.dtype}, seed {config.seed}"]


@contextmanager
def _stop_on_interrupt() -> Iterator[ShouldStop]:
    """Stop training after the current step on the first Ctrl-C, and immediately on the second."""
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> None:
    """Entry point of ``python -m dt.train``."""
    commands.run(app)


if __name__ == "__main__":
    main()
