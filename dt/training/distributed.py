"""Data-parallel training: ``torchrun --nproc-per-node 2 -m dt.train DATASET``.

All processes sample the same batch and each computes the loss of its shard. Each loss is divided by the
number of valid steps of the whole batch, so that the all-reduced gradients equal those of one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cartpole_phys.utils.errors import InputError
from dt.models.base import Model


def rank() -> int:
    """Rank of this process; rank 0 saves checkpoints and reports progress."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of ``torchrun``, or do nothing in a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
        dist.barrier()  # a process that exits early can abort the others
    finally:
        dist.destroy_process_group()


def any_process(flag: bool) -> bool:
    """Whether ``flag`` is true in any process."""
    if world_size() == 1:
        return flag
    flags = torch.tensor([flag], dtype=torch.int32, device="cuda" if torch.cuda.is_available() else "cpu")
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags[0])


def local_shard(batch: Any) -> tuple[Any, float]:
    """Return the windows of this process and their fraction of the batch's valid steps.

    Raises:
        InputError: if the batch has fewer windows than there are processes, or consists of transitions.
    """
    if world_size() == 1:
        return batch, 1.0
    if not hasattr(batch, "valid"):
        raise InputError(
            "Expected a model that is trained on windows, got one trained on transitions; use one process."
        )
    if len(batch.valid) < world_size():
        raise InputError(
            f"Expected a batch of at least {world_size()} windows, one per process, got {len(batch.valid)}."
        )
    own = type(batch)(*(field[rank() :: world_size()] for field in batch))
    return own, float(own.valid.sum() / batch.valid.sum())


def all_reduce_gradients(model: Model, loss: Tensor) -> Tensor:
    """Sum the gradients and the loss over all processes, in place for the gradients.

    Returns:
        The sum of the losses.
    """
    if world_size() == 1:
        return loss
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    flat = torch.cat([loss.detach().reshape(1), *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(flat)
    total, *summed = flat.split([1, *(gradient.numel() for gradient in gradients)])
    for gradient, new in zip(gradients, summed, strict=True):
        gradient.copy_(new.view_as(gradient))
    return total.reshape(())
