"""How much attention goes to which kind of token, how far back, and to how many tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cartpole_phys.data.score import mean_interval
from cartpole_phys.utils.typing import FloatArray
from dt.attention.maps import AttentionMaps

RECENT = "this step or the one before"
SPREAD = "spread"
RETURN = "return"


@dataclass(frozen=True)
class Measure:
    """A share of the attention, in the mean over layers, heads and deciding tokens."""

    name: str
    trained: float  # mean over episodes
    low: float  # ends of its 95 % bootstrap interval
    high: float
    untrained: float  # the same model before its first step, in the mean
    uniform: float  # the same attention to all tokens that may be looked at


def measure(trained: AttentionMaps, untrained: AttentionMaps) -> list[Measure]:
    """Shares by kind of token, of recent steps and by distance in steps, and how evenly it is spread."""
    begun, even = per_episode(untrained), uniform_attention(trained)
    return [
        Measure(name, *mean_interval(values), float(begun[name].mean()), even[name])
        for name, values in per_episode(trained).items()
    ]


def per_episode(maps: AttentionMaps) -> dict[str, FloatArray]:
    """Every measure (E,), in the mean over layers and heads."""
    return {
        name: values.double().mean(dim=(1, 2)).cpu().numpy()  # (E, L, H) -> (E,)
        for name, values in shares(maps.weights, maps)
    }


def uniform_attention(maps: AttentionMaps) -> dict[str, float]:
    """Every measure of the same attention to all tokens that may be looked at."""
    return {name: float(value) for name, value in shares(maps.uniform, maps)}


def shares(weights: Tensor, maps: AttentionMaps) -> Iterator[tuple[str, Tensor]]:
    """Names and values (…) of all measures of ``weights`` (…, Q, T), in the mean over the Q tokens."""
    for kind in dict.fromkeys(maps.kinds):
        yield kind, _mass(weights, torch.tensor([one == kind for one in maps.kinds]))
    apart = (maps.query_steps[:, None] - maps.key_steps).abs()  # (Q, T)
    yield RECENT, _mass(weights, apart <= 1)
    for steps in range(int(apart.max()) + 1):
        yield f"{steps} step{'' if steps == 1 else 's'} away", _mass(weights, apart == steps)
    yield SPREAD, _spread(weights, maps.allowed)


def _mass(weights: Tensor, on: Tensor) -> Tensor:
    """Of weights (…, Q, T), what goes to the tokens (T,) or (Q, T) that are ``on``."""
    return torch.where(on.to(weights.device), weights, 0.0).sum(dim=-1).mean(dim=-1)


def _spread(weights: Tensor, allowed: Tensor) -> Tensor:
    """e^entropy as a share of the tokens that may be looked at: 1 if all get the same."""
    entropy = -torch.xlogy(weights, weights).sum(dim=-1)
    return (entropy.exp() / allowed.sum(dim=1).to(weights.device)).mean(dim=-1)
