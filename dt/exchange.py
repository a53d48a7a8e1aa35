"""Command-line export and import of models: ``python -m dt.exchange export CHECKPOINT --to onnx``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cartpole_phys import commands
from cartpole_phys.data.loading import load_whole
from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError
from dt.formats import hub, hugging_face, onnx, trajectory_transformer
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import Checkpoint

FORMATS: dict[
    str, tuple[str, Callable[[Checkpoint, Path], None]]
] = {  # suffix of the output name, and the writer
    "hugging-face": ("-hf", hugging_face.save),
    "onnx": (".onnx", onnx.save),
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command("export")
def export_command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder, from python -m dt.train.")],
    to: Annotated[str, typer.Option(help=f"Output format: {', '.join(FORMATS)}.")],
    out: Annotated[Path | None, typer.Option(help="Output path; default: beside the checkpoint.")] = None,
) -> None:
    """Export a checkpoint to Hugging Face transformers or to one ONNX file."""
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    ending, write = FORMATS[to]
    place = checkpoints.resolved(checkpoint)
    path = out or place.with_name(place.name + ending)
    if path.exists():
        raise InputError(f"{str(path)!r} exists; remove it, or choose another --out.")
    write(checkpoints.load(checkpoint), path)
    commands.say(str(path))


@app.command("import")
def import_command(
    source: Annotated[str, typer.Argument(help="A transformers folder or a Hugging Face Hub name.")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder.")],
    env: Annotated[str | None, typer.Option(help="Environment ID, if the model's config lacks it.")] = None,
    return_scale: Annotated[
        float | None, typer.Option(help="Divisor of returns; default: from the model's config, or 1000.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Training data of a Trajectory Transformer, to compute its bins.")
    ] = None,
) -> None:
    """Import a Decision or Trajectory Transformer from Hugging Face transformers."""
    if checkpoints.exists(out):
        raise InputError(f"{str(out)!r} exists; remove it, or choose another --out.")
    kind = hub.read_config(hub.resolve_folder(source)).get("model_type")
    if kind != trajectory_transformer.MODEL_TYPE:
        if data is not None:
            raise InputError(
                f"Expected a Trajectory Transformer with --data, got {kind!r}; leave out --data."
            )
        checkpoint = hugging_face.load(source, env, return_scale)
    elif data is None:
        raise InputError("Expected the data of the Trajectory Transformer, got none; add --data.")
    elif env is not None or return_scale is not None:
        raise InputError(
            "Expected --data alone for a Trajectory Transformer, whose environment is that of its data and "
            "whose returns are not scaled; leave out --env and --return-scale."
        )
    else:
        checkpoint = trajectory_transformer.load(source, load_whole(data))
    with checkpoints.writer_lock(out):
        checkpoints.save(out, checkpoint)
    commands.say(str(out))


def main() -> None:
    """Entry point of ``python -m dt.exchange``."""
    commands.run(app)


if __name__ == "__main__":
    main()
