"""A model's loss as one compiled graph, which on a GPU is replayed without a word from Python."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cartpole_phys.errors import InputError
from dt.heads import Model

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
