"""Attention maps of a transformer, per layer and head.

A map has a row for each token that an action is predicted from (query) and a column for each token of the
window (key). Windows are taken from the model's own episodes, one per episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cartpole_phys.data.declared_env import declared_backend
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from dt.models.base import Model
from dt.models.decision import DecisionTransformer
from dt.models.energy import EnergyModel, left_aligned
from dt.models.gpt import ALL, Transformer, causal_mask
from dt.models.recipes import create
from dt.models.reinformer import Reinformer
from dt.models.tokens import Tokens
from dt.models.trajectory import TrajectoryTransformer
from dt.policy import load
from dt.scores import default_targets
from dt.training.checkpoint import Checkpoint
from dt.training.optimizer import seeds

OBSERVATION, ACTION, REWARD, VALUE = "observation", "action", "reward", "value"


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights of E windows in L layers of H heads, from Q query tokens to T key tokens."""

    weights: Tensor  # (E, L, H, Q, T) float32, each row sums to 1
    allowed: Tensor  # (Q, T) bool attention mask
    kinds: tuple[str, ...]  # of the T key tokens
    query_steps: Tensor  # (Q,) int64, steps since the start of the window
    key_steps: Tensor  # (T,) int64

    @property
    def uniform(self) -> Tensor:
        """Uniform attention (Q, T) over all tokens that the mask allows."""
        return self.allowed / self.allowed.sum(dim=1, keepdim=True)


def rollout_windows(checkpoint: Checkpoint, episodes: int, seed: int) -> Any:
    """Run the model, and sample one full window per episode, in the format of the model's loss.

    Raises:
        InputError: if no episode is as long as a window, the model is not a transformer, or a number is out
            of range.
    """
    model, source = checkpoint.model.eval(), checkpoint.source
    if not hasattr(model, "transformer"):
        raise InputError(
            f"Expected a transformer model, got {checkpoint.recipe.kind!r}, which has no attention."
        )
    backend = declared_backend({"env_id": source.env_id, "env_kwargs": source.env_kwargs})
    target = default_targets(checkpoint)[0] if np.isnan(source.max_return) else None  # None: highest in data
    played = backend.play(load(checkpoint, target), episodes, seed)
    sampler = model.sampler(played, checkpoint.normalization, next(model.parameters()).device)
    return sampler.at(_starts(played, model.window, seed))  # type: ignore[attr-defined]


def _starts(episodes: Episodes, window: int, seed: int) -> Tensor:
    """Random start row of a full window in each episode that is long enough."""
    room = episodes.lengths - window + 1
    if not (room > 0).any():
        raise InputError(
            f"Expected an episode of at least {window} steps (the model's window), got at most "
            f"{episodes.lengths.max()}; train the model longer or use more episodes."
        )
    drawn = np.random.default_rng(seed).integers(np.maximum(room, 1))
    return torch.as_tensor((episodes.offsets[:-1] + drawn)[room > 0])


def untrained(checkpoint: Checkpoint) -> Model:
    """Recreate the model before its first gradient step, with the statistics fitted to the data."""
    with torch.random.fork_rng():
        torch.manual_seed(seeds(checkpoint.recipe.train.seed)[0])
        model = create(checkpoint.recipe.kind, checkpoint.recipe.model, checkpoint.source.spaces)
    for name, values in checkpoint.model.named_buffers():
        model.get_buffer(name).copy_(values)
    return model.eval()


@singledispatch
def attention_maps(model: Model, batch: Any) -> AttentionMaps:
    """Compute the attention maps of a model for full windows from its sampler."""
    raise NotImplementedError(f"attention maps of {type(model).__name__}")


@attention_maps.register(DecisionTransformer)
@attention_maps.register(Reinformer)
def _(model: DecisionTransformer | Reinformer, batch: Any) -> AttentionMaps:
    tokens: Tokens = model.tokens
    with _recorded_attention(model.transformer) as seen:
        model.features(batch, ALL)
    weights = torch.stack(seen, dim=1)  # L × (E, H, T, T) -> (E, L, H, T, T)
    steps = torch.arange(weights.shape[4]) // tokens.per_step
    kinds = tuple(tokens.kinds[place % tokens.per_step] for place in range(len(steps)))
    window = getattr(model.config, "attention_window", None)
    allowed = causal_mask(torch.ones(1, len(steps), dtype=torch.bool), tokens.per_step, window)[0, 0]
    return AttentionMaps(
        weights[:, :, :, tokens.read], allowed[tokens.read], kinds, steps[tokens.read], steps
    )


@attention_maps.register
def _(model: TrajectoryTransformer, batch: Any) -> AttentionMaps:
    with _recorded_attention(model.transformer) as seen:
        model.logits(batch.tokens.flatten(1))
    weights = torch.stack(seen, dim=1)  # L × (E, H, T, T) -> (E, L, H, T, T)
    places = torch.arange(weights.shape[4])
    first = model.spaces.observation_size
    step = (*[OBSERVATION] * first, *[ACTION] * model.action_tokens, REWARD, VALUE)
    following = (places + 1) % model.per_step
    read = (following >= first) & (following < first + model.action_tokens)  # the next token is an action's
    steps = places // model.per_step
    kinds = step * model.window
    return AttentionMaps(weights[:, :, :, read], model.mask[0, 0].cpu()[read], kinds, steps[read], steps)


@attention_maps.register
def _(model: EnergyModel, batch: Any) -> AttentionMaps:
    batch = left_aligned(batch)
    plans = model.tokens(batch.actions)
    with _recorded_attention(model.transformer) as seen:
        model.energies(batch.observations[:, 0], plans)
    rows = [one[:, :, 0].unflatten(0, plans.shape) for one in seen]  # L × (E, T, H, T + 1)
    weights = torch.stack(rows, dim=1).transpose(2, 3)  # -> (E, L, H, T, T + 1)
    places = torch.arange(model.size)
    turned = torch.cat([places[:, None], model.others.cpu()], dim=1).argsort(dim=1)  # (T, T)
    columns = torch.where(turned == 0, 0, turned + 1)  # the masked one comes first, the observation second
    columns = torch.cat([torch.ones(model.size, 1, dtype=torch.int64), columns], dim=1)  # (T, T + 1)
    steps = places // model.per_step
    return AttentionMaps(
        weights.gather(4, columns.to(weights.device).expand_as(weights)),
        torch.ones(model.size, model.size + 1, dtype=torch.bool),
        (OBSERVATION, *[ACTION] * model.size),
        steps,
        torch.cat([torch.zeros(1, dtype=torch.int64), steps]),
    )


@contextmanager
def _recorded_attention(transformer: Transformer) -> Iterator[list[Tensor]]:
    """Record the attention weights (B, H, Q, T) of each layer in a list during forward passes."""
    seen: list[Tensor] = []

    def note(attention: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(attention.weights(*inputs))  # type: ignore[operator]

    handles = [block.attention.register_forward_pre_hook(note) for block in transformer.blocks]
    try:
        with torch.inference_mode():
            yield seen
    finally:
        for handle in handles:
            handle.remove()
