"""One training run on several processes: ``torchrun --nproc-per-node 2 -m dt.train DATASET``.

Every process draws the same windows and works on its share of them. Their gradients are added up, each loss
being divided by the number of valid steps of all, so that the sum is that of one process.
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
    """The number of this process; 0 saves and tells what there is to tell."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes that ``torchrun`` has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
        dist.barrier()  # a process that leaves early can take the others down
    finally:
        dist.destroy_process_group()


def any_process(flag: bool) -> bool:
    """Whether it is set in any process."""
    if world_size() == 1:
        return flag
    flags = torch.tensor([flag], dtype=torch.int32, device="cuda" if torch.cuda.is_available() else "cpu")
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags[0])


def local_shard(batch: Any) -> tuple[Any, float]:
    """The windows of this process, and the share of the valid steps that they hold.

    Raises:
        InputError: if the batch has fewer windows than there are processes, or is none of windows.
    """
    if world_size() == 1:
        return batch, 1.0
    if not hasattr(batch, "valid"):
        raise InputError("Expected a model that learns from windows; train this one by a single process.")
    if len(batch.valid) < world_size():
        raise InputError(
            f"Expected a batch of at least {world_size()} windows, one a process, got {len(batch.valid)}."
        )
    own = type(batch)(*(field[rank() :: world_size()] for field in batch))
    return own, float(own.valid.sum() / batch.valid.sum())


def all_reduce_gradients(model: Model, loss: Tensor) -> Tensor:
    """Replace gradients by the sums over all processes.

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
