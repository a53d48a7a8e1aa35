"""AdamW training of a model, with complete state: a restored run continues bit for bit."""

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
FEW_PARAMETERS = 500_000  # below this, casting to bfloat16 costs on a CPU what its matmuls save (measured)
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state per parameter
DROPOUT_RANDOM, SAMPLER_RANDOM, CUDA_RANDOM = "random/dropout", "random/sampler", "random/cuda"


@dataclass(frozen=True)
class TrainConfig:
    """Training hyperparameters; the defaults are those of Chen et al. (2021) for the Gym tasks.

    Raises:
        InputError: if a value is out of range.
    """

    steps: int = 100_000  # gradient steps
    epochs: int | None = None  # replaces steps: passes over as many rows as the data have
    best_share: float = 1.0  # fraction of the rows to train on, from the episodes of highest return
    batch_size: int = 64  # windows
    learning_rate: float = 1e-4
    warmup_steps: int = 10_000  # of linear warm-up from 0
    schedule: str = CONSTANT  # after the warm-up; or "cosine": decays to 0 at the last step
    weight_decay: float = 1e-4
    decaying: str = ALL  # parameters with weight decay; or "matrices": weights of linear layers only
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam's moments
    clip: float = 0.25  # maximum gradient norm
    seed: int = 0  # random seed of weights, batches, dropout and ties in ``best_share``
    dtype: str = AUTO  # of matrix products: float32, bfloat16 (autocast), or auto: the faster one

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_size", 1), ("warmup_steps", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"Expected {name} of at least {least}, got {getattr(self, name)}.")
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
    """Convert epochs over ``rows`` rows to gradient steps."""
    if config.epochs is None:
        return config
    return replace(config, steps=math.ceil(config.epochs * rows / config.batch_size), epochs=None)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Learning rate of gradient step ``step``, counted from 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == CONSTANT:
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def faster_dtype(model: Model, device: torch.device) -> str:
    """Resolve ``auto``: bfloat16 for a large model on hardware with native support, else float32."""
    if device.type == "cuda":
        return BFLOAT16 if torch.cuda.is_bf16_supported() else FLOAT32
    cpu: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.11
    native = cpu.get("avx512_bf16") or cpu.get("amx_bf16")
    large = sum(parameter.numel() for parameter in model.parameters()) >= FEW_PARAMETERS
    return BFLOAT16 if native and large else FLOAT32


def seeds(seed: int, *further: int) -> tuple[int, int]:
    """Derive independent seeds for PyTorch's global generator (weights, dropout) and for the sampler."""
    entropy = (seed, *further) if further else seed
    weights, sampler = np.random.SeedSequence(entropy).generate_state(2, np.uint64) >> np.uint64(1)
    return int(weights), int(sampler)


class Trainer:
    """A model with its optimizer and the random generators of sampling and dropout.

    Dropout uses PyTorch's global generator, so nothing else may draw from it between two steps.
    """

    def __init__(self, model: Model, sampler: Sampler, config: TrainConfig, compiled: bool = False) -> None:
        """Prepare to train ``model``, with its loss compiled if ``compiled``."""
        self.model, self.sampler, self.config = model.train(), sampler, config
        self._loss = CompiledLoss(model) if compiled else model.loss
        self.step = 0  # completed gradient steps
        self.generator = torch.Generator().manual_seed(seeds(config.seed)[1])
        groups = [
            {"params": [parameter for _, parameter in named], "weight_decay": decay}
            for named, decay in self._groups()
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)

    def _groups(self) -> list[tuple[list[tuple[str, nn.Parameter]], float]]:
        """Parameter groups: named parameters, and their weight decay."""
        decay, named = self.config.weight_decay, list(self.model.named_parameters())
        if self.config.decaying == ALL:
            return [(named, decay)]
        matrices = {id(module.weight) for module in self.model.modules() if isinstance(module, nn.Linear)}
        return [
            ([(name, one) for name, one in named if (id(one) in matrices) == decays], decay * decays)
            for decays in (True, False)
        ]

    def advance(self) -> Tensor:
        """Take one gradient step and return its loss, a scalar."""
        if distributed.rank():  # reseeded at every step, since only rank 0's dropout state is stored
            torch.manual_seed(seeds(self.config.seed, distributed.rank(), self.step)[0])
        batch, share = distributed.local_shard(self.sampler.sample(self.config.batch_size, self.generator))
        with torch.autocast(self.sampler.device.type, torch.bfloat16, enabled=self.config.dtype == BFLOAT16):
            loss = self._loss(batch) * share  # a new tensor: a replayed CUDA graph overwrites its own output
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
        """Optimizer moments and random states by name: with weights and step, the state to resume from."""
        state = {DROPOUT_RANDOM: torch.get_rng_state(), SAMPLER_RANDOM: self.generator.get_state()}
        if self.sampler.device.type == "cuda":
            state[CUDA_RANDOM] = torch.cuda.get_rng_state()
        for name, parameter in self.model.named_parameters():
            for moment, value in self.optimizer.state[parameter].items():
                state[f"{moment}/{name}"] = value.detach().cpu()
        return state

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Restore ``state`` after ``step`` steps; the caller restores the weights.

        Raises:
            InputError: if an entry is missing.
        """
        names = [name for named, _ in self._groups() for name, _ in named]  # in the optimizer's order
        updated = [name for name in names if any(f"{moment}/{name}" in state for moment in MOMENTS)]
        required = {f"{moment}/{name}" for name in updated for moment in MOMENTS}
        missing = sorted((required | {DROPOUT_RANDOM, SAMPLER_RANDOM}) - set(state))
        if missing:
            raise InputError(
                f"Expected {missing[0]!r} in the checkpoint's training state, got none; restart training."
            )
        moments = {
            i: {moment: state[f"{moment}/{name}"].clone() for moment in MOMENTS}
            for i, name in enumerate(names)
            if name in updated  # the others have had no gradient yet
        }
        self.optimizer.load_state_dict(
            {"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        torch.set_rng_state(state[DROPOUT_RANDOM])
        self.generator.set_state(state[SAMPLER_RANDOM])
        if CUDA_RANDOM in state and self.sampler.device.type == "cuda":
            torch.cuda.set_rng_state(state[CUDA_RANDOM])
        self.step = step


CUDA_GRAPHS = "reduce-overhead"  # mode of torch.compile


class CompiledLoss:
    """A model's ``loss``, compiled at the first call.

    A replayed CUDA graph overwrites its previous output, so callers must not keep the returned tensor.
    """

    def __init__(self, model: Model) -> None:
        self._compiled: Any = torch.compile(model.loss, fullgraph=True, mode=CUDA_GRAPHS)
        self._has_run = False

    def __call__(self, batch: Any) -> Tensor:
        """Compute the loss of a batch.

        Raises:
            InputError: if the loss cannot be compiled on this machine.
        """
        try:
            loss: Tensor = self._compiled(batch)
        except Exception as error:  # Dynamo, Inductor and compilers raise many types
            if self._has_run:
                raise
            reason = " ".join(str(error).split("\n\n")[0].split())  # the rest is advice for developers
            raise InputError(
                f"Expected a loss that compiles on this machine, got an error ({reason}); use --no-compile."
            ) from error
        self._has_run = True
        return loss
