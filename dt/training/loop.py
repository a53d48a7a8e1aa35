"""Training loop: train a recipe's model on episodes and return a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from dt.data.source import Source, describe
from dt.data.windows import Normalization
from dt.models.recipes import Recipe, create
from dt.training import checkpoint as checkpoints
from dt.training import distributed
from dt.training.checkpoint import Checkpoint
from dt.training.optimizer import AUTO, Trainer, faster_dtype, seeds, with_steps

REPORT_EVERY = 10  # gradient steps between two reports of progress
SAVE_EVERY = 1_000  # gradient steps between two checkpoints

OnProgress = Callable[[int, float], None]  # completed steps, mean loss since the last report
OnCheckpoint = Callable[[Checkpoint], None]
ShouldStop = Callable[[], bool]


def train(
    episodes: Episodes,
    recipe: Recipe,
    out: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    save_every: int = SAVE_EVERY,
    normalization: Normalization | None = None,
    compiled: bool | None = None,
    on_progress: OnProgress = lambda step, loss: None,
    on_checkpoint: OnCheckpoint = lambda checkpoint: None,
    should_stop: ShouldStop = lambda: False,
) -> Checkpoint:
    """Train a model, and save checkpoints to the folder ``out`` if given.

    On one machine, an interrupted and resumed run is bit-for-bit identical to an uninterrupted one.

    Args:
        episodes: the data, with ``env_id`` in their metadata.
        recipe: model and hyperparameters, from ``dt.models.recipes.recipe``.
        out: checkpoint folder.
        resume: resume from the checkpoint in ``out``, which must have this recipe and these data; only the
            number of steps may differ. Its normalization is kept.
        overwrite: replace a checkpoint in ``out``.
        save_every: gradient steps between two checkpoints; the last step is always saved.
        normalization: scaling of model inputs; by default computed from the data and the action bounds.
        compiled: whether to compile the loss, into CUDA graphs on a GPU; by default on a GPU only: on a
            CPU, compilation costs more than it saves (measured). Results differ by floating-point rounding.
        on_progress: called every ``REPORT_EVERY`` steps.
        on_checkpoint: called with each checkpoint, whose model may be evaluated and is then trained further.
        should_stop: called after each step; if true, training saves a checkpoint and stops early.

    Raises:
        InputError: if the data are invalid, the checkpoint does not match, the folder is not writable or is
            being written by another process, or the loss diverges.
        OSError: if a later checkpoint cannot be written.
    """
    if save_every < 1:
        raise InputError(f"Expected a checkpoint every 1 or more steps, got {save_every}.")
    source = describe(episodes)
    episodes = best(episodes, recipe.train.best_share, recipe.train.seed)
    recipe = replace(recipe, train=with_steps(recipe.train, episodes.steps))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    first = distributed.rank() == 0
    place = out and checkpoints.resolved(out)  # now: replacing a checkpoint may replace the working directory
    with (
        checkpoints.writer_lock(out) if out is not None and first else nullcontext(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        earlier = _earlier(out, resume, overwrite)
        run = _Run(episodes, source, recipe, normalization, earlier, device, compiled)
        stopped = False
        while run.remaining and not stopped:
            run.advance(on_progress)
            stopped = distributed.any_process(should_stop())
            if not (stopped or not run.remaining or run.trainer.step % save_every == 0):
                continue
            run.report(on_progress)  # raises if the loss diverged, before a checkpoint is replaced
            if first:
                current = run.checkpoint()
                if place is not None:
                    checkpoints.save(place, current)
                on_checkpoint(current)
                current.model.train()
        return run.checkpoint()


def best(episodes: Episodes, share: float, seed: int) -> Episodes:
    """Select the fewest eligible episodes of highest return that contain the fraction ``share`` of rows.

    Their order is kept. Ties are broken at random by ``seed``: where a time limit caps the return, many
    episodes of a mixed data set have equal returns, and their order depends on the behavior policy.

    Source: github.com/kzl/decision-transformer, ``gym/experiment.py``, ``--pct_traj``, which takes the last.
    """
    episodes = episodes.filter(episodes.eligible)
    if share == 1.0:
        return episodes
    tie_breakers = np.random.default_rng(seed).random(len(episodes))
    ranked = np.lexsort((tie_breakers, -episodes.returns))  # by return, then at random
    rows = np.cumsum(episodes.lengths[ranked])
    count = int(np.searchsorted(rows, share * episodes.steps)) + 1
    return episodes.select(np.sort(ranked[:count]))


def _earlier(out: Path | None, resume: bool, overwrite: bool) -> Checkpoint | None:
    """Load the checkpoint to resume from, or check that ``out`` may be written."""
    if resume:
        if out is None:
            raise InputError("Expected a checkpoint to resume from, got none; pass its folder.")
        return checkpoints.load(out)
    if out is not None and checkpoints.exists(out):
        if not overwrite:
            raise InputError(
                f"{str(out)!r} exists; pass --resume to continue training or --overwrite to replace it."
            )
        checkpoints.check_replaceable(out)
    return None


class _Run:
    """State of one training run, from which checkpoints are made."""

    def __init__(
        self,
        episodes: Episodes,
        source: Source,
        recipe: Recipe,
        normalization: Normalization | None,
        earlier: Checkpoint | None,
        device: torch.device,
        compiled: bool | None,
    ) -> None:
        if earlier is not None:
            recipe = _resumed(earlier, recipe, source, normalization)
            normalization = earlier.normalization
        normalization = normalization or Normalization.of(episodes, source.spaces)
        torch.manual_seed(seeds(recipe.train.seed)[0])
        model = (earlier.model if earlier else create(recipe.kind, recipe.model, source.spaces)).to(device)
        if earlier is None:
            model.prepare(episodes, normalization)
        if recipe.train.dtype == AUTO:
            recipe = replace(recipe, train=replace(recipe.train, dtype=faster_dtype(model, device)))
        self.recipe, self.source, self.normalization = recipe, source, normalization
        sampler = model.sampler(episodes, normalization, device)
        if compiled and not model.compiles:
            raise InputError(f"Expected a compilable model, got {recipe.kind}; leave out --compile.")
        compiled = model.compiles and device.type == "cuda" if compiled is None else compiled
        self.trainer = Trainer(model, sampler, recipe.train, compiled)
        if earlier is not None:
            self.trainer.restore(earlier.training, earlier.step)
        self._losses: list[Tensor] = []

    @property
    def remaining(self) -> int:
        """Remaining gradient steps."""
        return max(self.recipe.train.steps - self.trainer.step, 0)

    def advance(self, on_progress: OnProgress) -> None:
        """Take one gradient step, and report progress every ``REPORT_EVERY`` steps."""
        self._losses.append(self.trainer.advance())
        if len(self._losses) == REPORT_EVERY:
            self.report(on_progress)

    def report(self, on_progress: OnProgress) -> None:
        """Report the mean loss of the steps since the last report, if any.

        Raises:
            InputError: if the loss is not finite.
        """
        if not self._losses:
            return
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        if not math.isfinite(loss):
            raise InputError(
                f"Expected a finite loss, got {loss} at step {self.trainer.step}; lower the learning rate."
            )
        on_progress(self.trainer.step, loss)

    def checkpoint(self) -> Checkpoint:
        """Checkpoint of the current state."""
        trainer = self.trainer
        return Checkpoint(
            self.recipe, self.source, self.normalization, trainer.step, trainer.model, trainer.state()
        )


def _resumed(
    earlier: Checkpoint, recipe: Recipe, source: Source, normalization: Normalization | None
) -> Recipe:
    """Return the recipe to resume with, after checking that all settings match the checkpoint."""
    dtype = earlier.recipe.train.dtype if recipe.train.dtype == AUTO else recipe.train.dtype
    recipe = replace(recipe, train=replace(recipe.train, dtype=dtype))
    same_steps = replace(earlier.recipe, train=replace(earlier.recipe.train, steps=recipe.train.steps))
    expected = _settings(same_steps, earlier.source, earlier.normalization)
    got = _settings(recipe, source, normalization or earlier.normalization)
    for name in {**expected, **got}:
        if expected.get(name) != got.get(name):
            raise InputError(
                f"Expected {name} {expected.get(name)!r} as in the checkpoint to resume, got "
                f"{got.get(name)!r}; "
                "resume with the same data and options, or restart training with --overwrite."
            )
    return recipe


def _settings(recipe: Recipe, source: Source, normalization: Normalization) -> dict[str, Any]:
    """Settings by name that must match the checkpoint on resuming."""
    return _flat({**asdict(recipe), **asdict(source), "normalization": asdict(normalization)})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings, with dotted names: ``context`` of the model and of its plan differ."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and name != "env_kwargs"
        leaves.update(_flat(value, f"{prefix}{name}.") if nested else {prefix + name: value})
    return leaves
