"""Iterative refinement of plans by masked-token prediction, to lower their energy (Chen et al., 2023).

The authors' ``leap_sample_multi_step`` (github.com/hychen-naza/LEAP) first predicts all positions at once.
Each iteration then masks one random position and predicts it again, whether or not the energy decreases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cartpole_phys.utils.errors import InputError


@dataclass(frozen=True)
class RefinementConfig:
    """Refinement settings; the defaults are the authors' for their mazes.

    Raises:
        InputError: if a value is out of range.
    """

    iterations: int = 30  # number of re-predicted actions
    executed: int = 10  # steps executed open loop before replanning, from 1 to the horizon
    descend: bool = False  # accept only changes that lower the energy; the authors accept all

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.executed < 1:
            raise InputError(
                "Expected iterations of at least 0 and executed of at least 1, got "
                f"{self.iterations} and {self.executed}."
            )


class PlanModel(Protocol):
    """Energy-based model of plans of T tokens with N bins each."""

    size: int  # T

    def initial_logits(self, observations: Tensor) -> Tensor:
        """Logits (B, T, N) of all tokens, with all of them masked."""

    def logits(self, observations: Tensor, plans: Tensor, places: Tensor) -> Tensor:
        """Logits (B, M, N) at positions ``places`` (B, M) of plans (B, T), each conditioned on all others."""

    def energies(self, observations: Tensor, plans: Tensor) -> Tensor:
        """Contribution (B, T) of each token to the energy of its plan."""


@torch.inference_mode()
def refine(
    model: PlanModel, observations: Tensor, config: RefinementConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield the initial plans (B, T) for observations (B, obs), then the plans after each iteration."""
    plans = model.initial_logits(observations).argmax(dim=2)  # (B, T, N) -> (B, T)
    yield plans
    energy = model.energies(observations, plans).sum(dim=1) if config.descend else None  # (B,)
    for _ in range(config.iterations):
        size = (len(plans), 1)
        places = torch.randint(model.size, size, generator=generator, device=plans.device)  # (B, 1)
        choices = model.logits(observations, plans, places).argmax(dim=2)  # (B, 1, N) -> (B, 1)
        changed = plans.scatter(1, places, choices)
        if energy is not None:
            after = model.energies(observations, changed).sum(dim=1)
            changed = torch.where((after < energy)[:, None], changed, plans)
            energy = torch.minimum(after, energy)
        plans = changed
        yield plans
