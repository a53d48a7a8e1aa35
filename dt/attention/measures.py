"""Attention measures: shares by token kind and by distance in steps, and spread."""

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
    """Attention measure, averaged over layers, heads and query tokens."""

    name: str
    trained: float  # mean over episodes
    low: float  # ends of its 95 % bootstrap interval
    high: float
    untrained: float  # mean for the model before its first gradient step
    uniform: float  # for uniform attention over all tokens that the mask allows


def measure(trained: AttentionMaps, untrained: AttentionMaps) -> list[Measure]:
    """Compute shares by token kind, of recent steps and by distance in steps, and the spread."""
    baseline, uniform = per_episode(untrained), uniform_attention(trained)
    return [
        Measure(name, *mean_interval(values), float(baseline[name].mean()), uniform[name])
        for name, values in per_episode(trained).items()
    ]


def per_episode(maps: AttentionMaps) -> dict[str, FloatArray]:
    """Compute every measure (E,) per episode, averaged over layers and heads."""
    return {
        name: values.double().mean(dim=(1, 2)).cpu().numpy()  # (E, L, H) -> (E,)
        for name, values in shares(maps.weights, maps)
    }


def uniform_attention(maps: AttentionMaps) -> dict[str, float]:
    """Compute every measure for uniform attention over all tokens that the mask allows."""
    return {name: float(value) for name, value in shares(maps.uniform, maps)}


def shares(weights: Tensor, maps: AttentionMaps) -> Iterator[tuple[str, Tensor]]:
    """Yield names and values (…) of all measures of ``weights`` (…, Q, T), averaged over the Q queries."""
    for kind in dict.fromkeys(maps.kinds):
        yield kind, _mass(weights, torch.tensor([one == kind for one in maps.kinds]))
    apart = (maps.query_steps[:, None] - maps.key_steps).abs()  # (Q, T)
    yield RECENT, _mass(weights, apart <= 1)
    for steps in range(int(apart.max()) + 1):
        yield f"{steps} step{'' if steps == 1 else 's'} away", _mass(weights, apart == steps)
    yield SPREAD, _spread(weights, maps.allowed)


def _mass(weights: Tensor, on: Tensor) -> Tensor:
    """Sum weights (…, Q, T) over the selected tokens ``on`` (T,) or (Q, T), averaged over queries."""
    return torch.where(on.to(weights.device), weights, 0.0).sum(dim=-1).mean(dim=-1)


def _spread(weights: Tensor, allowed: Tensor) -> Tensor:
    """Perplexity of the attention divided by the number of allowed tokens: 1 if uniform."""
    entropy = -torch.xlogy(weights, weights).sum(dim=-1)
    return (entropy.exp() / allowed.sum(dim=1).to(weights.device)).mean(dim=-1)
