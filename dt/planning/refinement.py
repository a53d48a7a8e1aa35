"""Plans of low energy, one action after another made what the others make likeliest (Chen et al., 2023).

The authors' ``leap_sample_multi_step`` (github.com/hychen-naza/LEAP) fills all places at once. From then on
it leaves one out at random and fills it again, whatever becomes of the energy.
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
    """How plans are refined; the defaults are the authors' for their mazes.

    Raises:
        InputError: if a value is not possible.
    """

    iterations: int = 30  # actions that are chosen anew, one at a time
    executed: int = (
        10  # steps of a plan that are done before the next one: 1, or up to the horizon, open loop
    )
    descend: bool = False  # keep only what lowers the energy; the authors keep everything

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.executed < 1:
            raise InputError(
                "Expected iterations of at least 0 and executed of at least 1, got "
                f"{self.iterations} and {self.executed}."
            )


class PlanModel(Protocol):
    """A model of plans of T tokens with N choices each."""

    size: int  # T

    def initial_logits(self, observations: Tensor) -> Tensor:
        """Logits (B, T, N) of every token while none is known."""
        ...

    def logits(self, observations: Tensor, plans: Tensor, places: Tensor) -> Tensor:
        """Logits (B, M, N) of the tokens at ``places`` (B, M) of plans (B, T), each beside all others."""
        ...

    def energies(self, observations: Tensor, plans: Tensor) -> Tensor:
        """What each token adds to the energy of its plan: (B, T)."""
        ...


@torch.inference_mode()
def refine(
    model: PlanModel, observations: Tensor, config: RefinementConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """The first plans (B, T) for observations (B, obs), then those after each iteration."""
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
