"""Training as one function: data and a recipe in, a checkpoint out."""

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

REPORT_EVERY = 10  # optimisation steps between two reports of progress
SAVE_EVERY = 1_000  # optimisation steps between two checkpoints

OnProgress = Callable[[int, float], None]  # steps done, mean loss since the last report
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
    """Train a model, and keep it in the folder ``out`` if one is given.

    Training that was stopped and resumed gives the same bits as training in one go, on one machine.

    Args:
        episodes: the data, with ``env_id`` in their metadata.
        recipe: which model and how, from ``dt.models.recipes.recipe``.
        out: where checkpoints are kept.
        resume: go on from the checkpoint in ``out``, which must be of this recipe and these data; only the
            number of steps may differ. It keeps its normalization.
        overwrite: replace a checkpoint in ``out``.
        save_every: optimisation steps between two checkpoints; the last step has one, too.
        normalization: how numbers are scaled; by default as the data and the bounds of the actions suggest.
        compiled: whether the loss is compiled, into CUDA graphs on a GPU; by default on a GPU only, since on
            processors it costs more than it saves (measured). Its sums differ in their last bits.
        on_progress: called every ``REPORT_EVERY`` steps.
        on_checkpoint: called with each checkpoint, whose model may be played and goes on being trained.
        should_stop: asked after each step; when true, training saves and ends early.

    Raises:
        InputError: on data that cannot be used, a checkpoint that does not fit, a folder that cannot be
            written or that another process is writing, or a loss that diverged.
        OSError: if a checkpoint cannot be written later on.
    """
    if save_every < 1:
        raise InputError(f"Expected a checkpoint every 1 or more steps, got {save_every}.")
    source = describe(episodes)
    episodes = best(episodes, recipe.train.best_share, recipe.train.seed)
    recipe = replace(recipe, train=with_steps(recipe.train, episodes.steps))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    first = distributed.rank() == 0
    place = out and checkpoints.resolved(out)  # before the folder that this runs in may be replaced
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
            run.report(on_progress)  # a loss that diverged replaces no checkpoint
            if first:
                current = run.checkpoint()
                if place is not None:
                    checkpoints.save(place, current)
                on_checkpoint(current)
                current.model.train()
        return run.checkpoint()


def best(episodes: Episodes, share: float, seed: int) -> Episodes:
    """The eligible episodes of the highest returns, in their order: as few as hold this share of their rows.

    Of episodes with equal returns, ``seed`` decides which are taken: where a time limit caps the return, the
    best ones of a mixed file are many, and their order depends on the behavior policy.

    Source: github.com/kzl/decision-transformer, ``gym/experiment.py``, ``--pct_traj``, which takes the last.
    """
    episodes = episodes.filter(episodes.eligible)
    if share == 1.0:
        return episodes
    lots = np.random.default_rng(seed).random(len(episodes))
    ranked = np.lexsort((lots, -episodes.returns))  # by return, then by lot
    rows = np.cumsum(episodes.lengths[ranked])
    count = int(np.searchsorted(rows, share * episodes.steps)) + 1
    return episodes.select(np.sort(ranked[:count]))


def _earlier(out: Path | None, resume: bool, overwrite: bool) -> Checkpoint | None:
    """The checkpoint to go on from, once it is clear that nothing will be overwritten unasked."""
    if resume:
        if out is None:
            raise InputError("Expected the checkpoint to resume from, got none; give its folder.")
        return checkpoints.load(out)
    if out is not None and checkpoints.exists(out):
        if not overwrite:
            raise InputError(
                f"{str(out)!r} exists; add --resume to go on from it or --overwrite to replace it."
            )
        checkpoints.check_replaceable(out)
    return None


class _Run:
    """One training run: everything that a checkpoint of it is made from."""

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
            raise InputError(
                f"Expected a model that can be compiled, got {recipe.kind}; leave out --compile."
            )
        compiled = model.compiles and device.type == "cuda" if compiled is None else compiled
        self.trainer = Trainer(model, sampler, recipe.train, compiled)
        if earlier is not None:
            self.trainer.restore(earlier.training, earlier.step)
        self._losses: list[Tensor] = []

    @property
    def remaining(self) -> int:
        """Optimisation steps still to do."""
        return max(self.recipe.train.steps - self.trainer.step, 0)

    def advance(self, on_progress: OnProgress) -> None:
        """Do one optimisation step, and report now and then."""
        self._losses.append(self.trainer.advance())
        if len(self._losses) == REPORT_EVERY:
            self.report(on_progress)

    def report(self, on_progress: OnProgress) -> None:
        """Tell the mean loss of the steps since the last report, if there were any.

        Raises:
            InputError: if it is not finite.
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
        """The run as it is now."""
        trainer = self.trainer
        return Checkpoint(
            self.recipe, self.source, self.normalization, trainer.step, trainer.model, trainer.state()
        )


def _resumed(
    earlier: Checkpoint, wanted: Recipe, source: Source, normalization: Normalization | None
) -> Recipe:
    """The recipe to go on with, once it is clear that everything given is as in the checkpoint."""
    dtype = earlier.recipe.train.dtype if wanted.train.dtype == AUTO else wanted.train.dtype
    wanted = replace(wanted, train=replace(wanted.train, dtype=dtype))
    same_steps = replace(earlier.recipe, train=replace(earlier.recipe.train, steps=wanted.train.steps))
    expected = _settings(same_steps, earlier.source, earlier.normalization)
    got = _settings(wanted, source, normalization or earlier.normalization)
    for name in {**expected, **got}:
        if expected.get(name) != got.get(name):
            raise InputError(
                f"Expected {name} {expected.get(name)!r} as in the checkpoint to resume, got "
                f"{got.get(name)!r}; "
                "resume with the same data and options, or train anew with --overwrite."
            )
    return wanted


def _settings(recipe: Recipe, source: Source, normalization: Normalization) -> dict[str, Any]:
    """All that resuming needs to be the same, by name."""
    return _flat({**asdict(recipe), **asdict(source), "normalization": asdict(normalization)})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings, each under its whole way: a plan has a context, and so has its model."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and name != "env_kwargs"
        leaves.update(_flat(value, f"{prefix}{name}.") if nested else {prefix + name: value})
    return leaves
