"""Checkpoint folders of two safetensors files and one JSON file, without pickle.

::

    model.safetensors      the weights
    training.safetensors   the optimizer's moments and all random generator states
    config.json            model, training data, normalization and number of gradient steps
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cartpole_phys.episodes.d4rl_layout import require_flags
from cartpole_phys.utils import files
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import (
    parse_json,
    replacing_folder,
    reporting_write_errors,
    require_writable,
    set_aside_path,
    synchronize,
)
from dt.data.source import Source, Spaces
from dt.data.windows import Normalization
from dt.models.base import Model
from dt.models.recipes import KINDS, Recipe, create
from dt.training.optimizer import TrainConfig

FORMAT, VERSION = "cartpole-phys dt checkpoint", 5
MODEL, TRAINING, CONFIG = "model.safetensors", "training.safetensors", "config.json"

# Further Python types that JSON yields for an annotated type.
_WIDER: Mapping[type, tuple[type, ...]] = {float: (int,), Mapping: (dict,)}
T = TypeVar("T")


@dataclass(frozen=True)
class Checkpoint:
    """A trained or partly trained model, with everything needed to evaluate it or to resume training."""

    recipe: Recipe
    source: Source
    normalization: Normalization
    step: int  # completed gradient steps
    model: Model
    training: Mapping[str, Tensor]  # from Trainer.state


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the exclusive write lock of the checkpoint ``path``.

    Raises:
        InputError: if another process holds it, or the parent folder is not writable.
    """
    place = resolved(path)
    with ExitStack() as held:
        with reporting_write_errors(place):
            require_writable(place.parent)
            held.enter_context(files.writer_lock(place))
        yield


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder atomically: an older one at ``path`` is replaced by a complete new one.

    The caller holds the ``writer_lock`` of ``path``.

    Raises:
        InputError: if ``path`` is not a checkpoint; it is left unchanged.
        OSError: if the disk is full or the folder is not writable; partial files are removed.
    """
    check_replaceable(path)
    with replacing_folder(resolved(path)) as partial, safetensors_errors():
        partial.mkdir(parents=True)
        save_file(checkpoint.model.state_dict(), partial / MODEL)
        save_file(dict(checkpoint.training), partial / TRAINING)
        description = json.dumps(_description(checkpoint), indent=2) + "\n"
        (partial / CONFIG).write_text(description, encoding="utf-8")
        for name in (MODEL, TRAINING, CONFIG):
            synchronize(partial / name)
        synchronize(partial)


@contextmanager
def safetensors_errors() -> Iterator[None]:
    """Convert write errors of safetensors to OSError, as for all other files.

    Raises:
        OSError: on a write error of safetensors, whose own exception is not an OSError.
    """
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"Cannot write the weights ({error}); free disk space or change the path.") from error


def resolved(path: Path) -> Path:
    """Return the absolute path without symbolic links: independent of the working directory."""
    return Path(os.path.realpath(path))


def check_replaceable(path: Path) -> None:
    """Check that writing a checkpoint to ``path`` would replace nothing but a checkpoint.

    Raises:
        InputError: if ``path`` is a file, or a folder with other contents.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        _read_description(path)
    except InputError:
        raise InputError(f"{str(path)!r} exists and is not a checkpoint; choose another --out.") from None


def exists(path: Path) -> bool:
    """Whether a checkpoint or anything else is at ``path``, also after an interrupted replacement."""
    return path.exists() or set_aside_path(resolved(path)).exists()


def load(path: Path) -> Checkpoint:
    """Load a checkpoint, with its model on the CPU in evaluation mode.

    Raises:
        InputError: if there is none, or it is truncated or written by another program.
    """
    replaced = set_aside_path(resolved(path))
    found = path if path.exists() or not replaced.exists() else replaced
    description = _read_description(found)
    try:
        recipe = _restore_recipe(description)
        source = restore(Source, description["source"])
        normalization = restore(Normalization, description["normalization"])
        weights = load_file(found / MODEL)
        _require_fit(weights, recipe, source.spaces)
        model = create(recipe.kind, recipe.model, source.spaces)
        model.load_state_dict(weights)
        training = load_file(found / TRAINING)
        step = _restore_value(int, description["step"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise _unusable(path, str(error).splitlines()[0]) from error
    return Checkpoint(recipe, source, normalization, step, model.eval(), training)


def _require_fit(weights: Mapping[str, Tensor], recipe: Recipe, spaces: Spaces) -> None:
    """Check that the weights have the configured shapes, before the configuration determines memory use.

    Raises:
        ValueError: if shapes differ, or a Boolean is neither 0 nor 1.
    """
    for name, weight in weights.items():
        if weight.dtype == torch.bool:
            require_flags(name, weight.view(torch.uint8).numpy())
    transformer = getattr(recipe.model, "transformer", None)
    if transformer is None:
        hidden, numbers = (
            getattr(recipe.model, "hidden", ()),
            sum(weight.numel() for weight in weights.values()),
        )
        if max(hidden, default=0) + sum(a * b for a, b in pairwise(hidden)) > numbers:
            raise ValueError(f"expected {numbers:,} weights or fewer, got hidden layers {hidden}")
        return
    if transformer.layers > len(weights):
        raise ValueError(
            f"expected at most {len(weights):,} layers for the weights, got {transformer.layers:,}"
        )
    with torch.device("meta"):  # shapes without allocation
        expected = create(recipe.kind, recipe.model, spaces).state_dict()
    for name in {*expected, *weights}:
        shapes = [tuple(found[name].shape) if name in found else None for found in (expected, weights)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"expected shape {shapes[0]} of weights {name}, got {shapes[1]}")


def _unusable(path: Path, reason: str) -> InputError:
    return InputError(
        f"Expected a checkpoint with {MODEL}, {TRAINING} and {CONFIG} in {str(path)!r}, but it cannot be "
        f"read ({reason}); it may be truncated or written by another program; retrain it with "
        "python -m dt.train."
    )


def _description(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        **asdict(checkpoint.recipe),
        "source": asdict(checkpoint.source),
        "normalization": asdict(checkpoint.normalization),
        "step": checkpoint.step,
    }


def _read_description(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(
            f"Expected a checkpoint in {str(path)!r}, got no such folder; train one with: "
            "python -m dt.train DATASET"
        )
    try:
        description = parse_json((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(path, str(error)) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise _unusable(path, f"expected format {FORMAT!r} in {CONFIG}")
    if description.get("version") != VERSION:
        raise _unusable(path, f"expected version {VERSION}, got {description.get('version')!r}")
    return description


def _restore_recipe(description: Mapping[str, Any]) -> Recipe:
    kind = description["kind"]
    if kind not in KINDS:
        raise ValueError(f"unknown model {kind!r}")
    model = restore(KINDS[kind][0], description["model"])
    return Recipe(kind, model, restore(TrainConfig, description["train"]))


def restore(kind: type[T], values: Any) -> T:
    """Rebuild a frozen dataclass from its ``asdict`` dictionary, as read from JSON.

    Raises:
        ValueError: if a field is missing, unknown or of another type.
        InputError: (a ValueError) if the class rejects a value.
    """
    fields = get_type_hints(kind)
    if not isinstance(values, dict) or set(values) != set(fields):
        raise ValueError(f"expected {kind.__name__} with {', '.join(fields)}, got {values!r}")
    return kind(**{name: _restore_value(fields[name], value) for name, value in values.items()})


def _restore_value(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind):
        return restore(kind, value)  # type: ignore[arg-type]
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(_restore_value(get_args(kind)[0], one) for one in value)
    allowed = get_args(kind) if get_origin(kind) is UnionType else (get_origin(kind) or kind,)
    if type(value) not in allowed and not isinstance(value, _WIDER.get(allowed[0], ())):
        raise ValueError(f"expected {kind}, got {value!r:.100}")
    return value
