"""Gradient descent on a model's loss, with a state that is complete: a restored run goes on bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError
from dt.models.base import Model, Sampler
from dt.training import distributed

AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "bfloat16"
CONSTANT, COSINE = "constant", "cosine"
ALL, MATRICES = "all", "matrices"
FEW_PARAMETERS = 500_000  # below this, casting to bfloat16 costs on a CPU what its products save (measured)
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps for each parameter
DROPOUT_RANDOM, SAMPLER_RANDOM, CUDA_RANDOM = "random/dropout", "random/sampler", "random/cuda"


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained; the defaults are those of Chen et al. (2021) for the gym tasks.

    Raises:
        InputError: if a value is not possible.
    """

    steps: int = 100_000
    epochs: int | None = None  # in place of steps: as many as take so many rows as the data have, so often
    best_share: float = 1.0  # of the rows, from the episodes of the highest returns on
    batch_size: int = 64  # windows
    learning_rate: float = 1e-4
    warmup_steps: int = 10_000  # over which the learning rate grows linearly from 0
    schedule: str = CONSTANT  # after the warm-up, or "cosine": down to 0 at the last step
    weight_decay: float = 1e-4
    decaying: str = ALL  # weights that decay, or "matrices": those of linear layers only
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam's moments
    clip: float = 0.25  # largest norm of the gradient
    seed: int = 0  # decides weights, windows, dropout, and whom ``best_share`` takes of equals
    dtype: str = AUTO  # of the matrix products: float32, bfloat16 (autocast), or whichever is faster

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size) < 1 or min(self.warmup_steps, self.seed) < 0:
            raise InputError(
                "Expected steps and batch_size of at least 1, warmup_steps and seed of at least 0, got "
                f"{self.steps}, {self.batch_size}, {self.warmup_steps}, {self.seed}."
            )
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"Expected at least 1 epoch, got {self.epochs}.")
        if not 0.0 < self.best_share <= 1.0:
            raise InputError(f"Expected a best_share above 0 and at most 1, got {self.best_share}.")
        if self.schedule not in (CONSTANT, COSINE):
            raise unknown("schedule", self.schedule, (CONSTANT, COSINE))
        if self.decaying not in (ALL, MATRICES):
            raise unknown("decaying", self.decaying, (ALL, MATRICES))
        if len(self.betas) != 2 or not 0.0 <= min(self.betas) <= max(self.betas) < 1.0:
            raise InputError(f"Expected two betas of at least 0 and below 1, got {self.betas}.")
        if self.dtype not in (AUTO, FLOAT32, BFLOAT16):
            raise unknown("dtype", self.dtype, (AUTO, FLOAT32, BFLOAT16))


def with_steps(config: TrainConfig, rows: int) -> TrainConfig:
    """The same, its epochs told in steps over data of so many rows."""
    if config.epochs is None:
        return config
    return replace(config, steps=math.ceil(config.epochs * rows / config.batch_size), epochs=None)


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate of optimisation step ``step``, counted from 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == CONSTANT:
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def faster_dtype(model: Model, device: torch.device) -> str:
    """What ``auto`` means here: bfloat16 where the hardware multiplies it natively and the model is large."""
    if device.type == "cuda":
        return BFLOAT16 if torch.cuda.is_bf16_supported() else FLOAT32
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # from PyTorch 2.11 on
    native = able.get("avx512_bf16") or able.get("amx_bf16")
    wide = sum(parameter.numel() for parameter in model.parameters()) >= FEW_PARAMETERS
    return BFLOAT16 if native and wide else FLOAT32


def seeds(seed: int, *further: int) -> tuple[int, int]:
    """Independent seeds of PyTorch's own generator (weights, dropout) and of the window sampler."""
    entropy = (seed, *further) if further else seed
    weights, sampler = np.random.SeedSequence(entropy).generate_state(2, np.uint64) >> np.uint64(1)
    return int(weights), int(sampler)


class Trainer:
    """A model, its optimizer and the random numbers of both sampling and dropout.

    Dropout draws from PyTorch's global generator, so nothing else may draw from it between two steps.
    """

    def __init__(self, model: Model, sampler: Sampler, config: TrainConfig, compiled: bool = False) -> None:
        """Train ``model``, with its loss compiled or not."""
        self.model, self.sampler, self.config = model.train(), sampler, config
        self._loss = CompiledLoss(model) if compiled else model.loss
        self.step = 0  # optimisation steps done
        self.generator = torch.Generator().manual_seed(seeds(config.seed)[1])
        groups = [
            {"params": [parameter for _, parameter in named], "weight_decay": decay}
            for named, decay in self._groups()
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)

    def _groups(self) -> list[tuple[list[tuple[str, nn.Parameter]], float]]:
        """Named parameters that decay equally, and how fast."""
        decay, named = self.config.weight_decay, list(self.model.named_parameters())
        if self.config.decaying == ALL:
            return [(named, decay)]
        matrices = {id(module.weight) for module in self.model.modules() if isinstance(module, nn.Linear)}
        return [
            ([(name, one) for name, one in named if (id(one) in matrices) == decays], decay * decays)
            for decays in (True, False)
        ]

    def advance(self) -> Tensor:
        """Do one optimisation step and return its loss, a scalar."""
        if distributed.rank():  # dropout of its own at every step, since only the first one's state is stored
            torch.manual_seed(seeds(self.config.seed, distributed.rank(), self.step)[0])
        batch, share = distributed.local_shard(self.sampler.sample(self.config.batch_size, self.generator))
        with torch.autocast(self.sampler.device.type, torch.bfloat16, enabled=self.config.dtype == BFLOAT16):
            loss = self._loss(batch) * share  # the product is kept; a replayed graph's own result is not
        self.optimizer.zero_grad()
        loss.backward()
        loss = distributed.all_reduce_gradients(self.model, loss.detach())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        self.optimizer.step()
        self.model.after_step()
        self.step += 1
        return loss

    def state(self) -> dict[str, Tensor]:
        """Everything besides the weights and the step that decides how training goes on."""
        state = {DROPOUT_RANDOM: torch.get_rng_state(), SAMPLER_RANDOM: self.generator.get_state()}
        if self.sampler.device.type == "cuda":
            state[CUDA_RANDOM] = torch.cuda.get_rng_state()
        for name, parameter in self.model.named_parameters():
            for moment, value in self.optimizer.state[parameter].items():
                state[f"{moment}/{name}"] = value.detach().cpu()
        return state

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Go on from what ``state`` returned after ``step`` steps; the weights are restored by their owner.

        Raises:
            InputError: if something is missing.
        """
        names = [name for named, _ in self._groups() for name, _ in named]  # as the optimizer counts them
        moved = [name for name in names if any(f"{moment}/{name}" in state for moment in MOMENTS)]
        wanted = {f"{moment}/{name}" for name in moved for moment in MOMENTS}
        missing = sorted((wanted | {DROPOUT_RANDOM, SAMPLER_RANDOM}) - set(state))
        if missing:
            raise InputError(f"Expected {missing[0]!r} in a checkpoint's training state; train anew.")
        moments = {
            i: {moment: state[f"{moment}/{name}"].clone() for moment in MOMENTS}
            for i, name in enumerate(names)
            if name in moved  # the others have had no gradient yet
        }
        self.optimizer.load_state_dict(
            {"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        torch.set_rng_state(state[DROPOUT_RANDOM])
        self.generator.set_state(state[SAMPLER_RANDOM])
        if CUDA_RANDOM in state and self.sampler.device.type == "cuda":
            torch.cuda.set_rng_state(state[CUDA_RANDOM])
        self.step = step


NO_OVERHEAD = "reduce-overhead"  # of torch.compile: CUDA graphs


class CompiledLoss:
    """Called like the model's own ``loss``; the first call compiles.

    A replayed graph writes over its last result, so callers keep what they make of it, not the tensor itself.
    """

    def __init__(self, model: Model) -> None:
        self._compiled: Any = torch.compile(model.loss, fullgraph=True, mode=NO_OVERHEAD)
        self._works = False

    def __call__(self, batch: Any) -> Tensor:
        """The loss of a batch.

        Raises:
            InputError: if it cannot be compiled on this machine.
        """
        try:
            loss: Tensor = self._compiled(batch)
        except Exception as error:  # of dynamo, inductor and compilers, which raise many kinds
            if self._works:
                raise
            reason = " ".join(str(error).split("\n\n")[0].split())  # what follows is advice for developers
            raise InputError(f"The loss cannot be compiled here ({reason}); use --no-compile.") from error
        self._works = True
        return loss
