"""Transformer layers for inference with a key–value cache, without dropout or module calls.

They compute the same as ``gpt.Block``. The functional form is used because module calls took a third of the
time of one step with a single episode (measured).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

from dt.models.gpt import Block

# Attention from queries (B, H, n, D/H), given the keys and values (B, n, 2, H, D/H) of the same tokens, which
# the function may cache; returns mixed values shaped like the queries.
Attend = Callable[[Tensor, Tensor], Tensor]


class InferenceBlock:
    """Inference form of ``gpt.Block``; subclasses define the key–value cache."""

    def __init__(self, block: Block) -> None:
        attention, inner, outer = block.attention, block.inner, block.outer
        self._pre_norm, self.heads = block.pre_norm, attention.heads
        parts = attention.query, attention.key_value
        self._projection = [torch.cat([getattr(part, name) for part in parts]) for name in ("weight", "bias")]
        self._output = attention.output.weight, attention.output.bias
        self._inner, self._outer = (inner.weight, inner.bias), (outer.weight, outer.bias)
        self._activation = block.activation
        self._norms = [
            (norm.normalized_shape, norm.weight, norm.bias, norm.eps)
            for norm in (block.attention_norm, block.mlp_norm)
        ]
        width = len(attention.output.bias)
        self._widths, self.head_width = (width, 2 * width), width // self.heads

    def apply(self, tokens: Tensor, attend: Attend) -> Tensor:
        """Apply the block to tokens (B, n, D)."""
        first, second = self._norms
        if self._pre_norm:
            hidden = tokens + self._attend(F.layer_norm(tokens, *first), attend)
            return hidden + self._mlp(F.layer_norm(hidden, *second))
        hidden = F.layer_norm(tokens + self._attend(tokens, attend), *first)
        return F.layer_norm(hidden + self._mlp(hidden), *second)

    def _attend(self, tokens: Tensor, attend: Attend) -> Tensor:
        batch, count, _ = tokens.shape
        projected = F.linear(tokens, *self._projection).split(self._widths, dim=2)  # (B, n, 3D) -> D and 2D
        query = projected[0].view(batch, count, self.heads, -1).transpose(1, 2)  # (B, H, n, D/H)
        mixed = attend(query, projected[1].view(batch, count, 2, self.heads, -1))  # (B, H, n, D/H)
        return F.linear(mixed.transpose(1, 2).reshape(batch, count, -1), *self._output)  # (B, n, D)

    def _mlp(self, tokens: Tensor) -> Tensor:
        return F.linear(self._activation(F.linear(tokens, *self._inner)), *self._outer)


class RingBufferLayer(InferenceBlock):
    """Transformer layer whose key–value cache is a ring buffer of the most recent tokens."""

    def __init__(self, block: Block, batch_size: int, slots: int, tokens: int) -> None:
        """Allocate an empty cache of ``slots`` slots of ``tokens`` tokens each."""
        super().__init__(block)
        self._cache = block.inner.weight.new_zeros(batch_size, slots * tokens, 2, self.heads, self.head_width)

    def advance(self, tokens: Tensor, mask: Tensor, slot: int) -> Tensor:
        """Apply the layer to new tokens (B, n, D), which replace the oldest ones in the cache.

        Args:
            tokens: (B, n, D).
            mask: (1, 1, n, slots × n) float attention mask, 0 or −∞.
            slot: slot of the oldest tokens.
        """
        count = tokens.shape[1]

        def attend(query: Tensor, key_value: Tensor) -> Tensor:
            self._cache[:, slot * count : (slot + 1) * count] = key_value
            keys, values = self._cache.transpose(1, 3).unbind(2)  # each (B, H, slots × n, D/H)
            return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)

        return self.apply(tokens, attend)


def ring_slots(relative_steps: Sequence[int], window: int) -> int:
    """Number of slots for an attention window, if a slot's tokens belong to steps ``relative_steps``."""
    return window - min(relative_steps)


def ring_masks(relative_steps: Sequence[int], window: int) -> Tensor:
    """Attention masks of the ring buffer: for each step while it fills, then for each step of a cycle.

    Returns:
        (2 × slots, 1, 1, n, slots × n) float, 0 or −∞: at step t < slots entry t, later slots + t mod slots.
    """
    slots, tokens = ring_slots(relative_steps, window), len(relative_steps)
    step = torch.arange(2 * slots)[:, None]  # (2S, 1)
    group = step - (step - torch.arange(slots)) % slots  # latest step in each slot, (2S, S)
    relative, place = torch.tensor(relative_steps), torch.arange(tokens)  # (n,)
    key_steps = (group[:, :, None] + relative).flatten(1)[:, None]  # (2S, S, n) -> (2S, 1, S × n)
    key_places = (group[:, :, None] * tokens + place).flatten(1)[:, None]  # likewise
    query_steps = (step + relative)[:, :, None]  # (2S, n, 1)
    query_places = (step * tokens + place)[:, :, None]
    near = (query_steps - key_steps < window) & (key_steps >= 0)
    allowed = (near & (key_places <= query_places)) | (key_places == query_places)
    return torch.where(allowed, 0.0, -torch.inf)[:, None, None]  # (2S, n, S × n) -> (2S, 1, 1, n, S × n)


class BeamLayer(InferenceBlock):
    """Transformer layer for beam search, which caches a shared prefix, and plans with their candidates."""

    _prefix: Tensor  # (2, E, H, s, D/H), keys and values
    _suffix: Tensor  # (2, E × W, H, T, D/H)

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self._plan_length = self._length = 0  # cached tokens of plans, and of plans with candidates
        self._candidate_mask: Tensor | None = None  # (X, T) float, 0 or −∞; None without candidates

    def root(self, tokens: Tensor, mask: Tensor, kept: Tensor, width: int, room: int) -> Tensor:
        """Start ``width`` plans for each of E episodes with a shared prefix of tokens (E, n, D).

        Args:
            tokens: (E, n, D).
            mask: (1, 1, n, n) bool attention mask, True where attention is allowed.
            kept: (n,) bool, True for tokens that later tokens may attend to.
            width: beam width, plans per episode.
            room: cache size in tokens, for each plan with its candidates.
        """

        def attend(query: Tensor, key_value: Tensor) -> Tensor:
            both = key_value.permute(2, 0, 3, 1, 4)  # (E, n, 2, H, D/H) -> (2, E, H, n, D/H)
            self._prefix = both[:, :, :, kept]
            self._suffix = both.new_empty(2, len(tokens) * width, self.heads, room, self.head_width)
            return F.scaled_dot_product_attention(query, both[0], both[1], attn_mask=mask)

        return self.apply(tokens, attend)

    def branch(self, candidates: int) -> None:
        """Branch each plan into ``candidates`` candidates that attend to the plan and to themselves."""
        itself = torch.eye(candidates, dtype=torch.bool, device=self._suffix.device)
        rest = self._suffix.shape[3] - self._plan_length
        seen = torch.cat(
            [itself.new_ones(candidates, self._plan_length), itself.repeat(1, -(-rest // candidates))], dim=1
        )
        self._candidate_mask = self._suffix.new_zeros(seen.shape).masked_fill(~seen, -torch.inf)  # (X, ≥ T)

    def keep(self, plans: Tensor, candidates: Tensor) -> None:
        """Keep the selected ``candidates`` (R,) of ``plans`` (R,), and discard the rest."""
        assert self._candidate_mask is not None
        added = self._suffix[:, :, :, self._plan_length : self._length].unflatten(
            3, (-1, len(self._candidate_mask))
        )
        added = added[:, plans, :, :, candidates].transpose(0, 1)  # (2, R, H, n, X, D/H) -> (2, R, H, n, D/H)
        chosen = self._suffix[:, :, :, : self._plan_length]  # (2, R, H, t, D/H)
        chosen[:] = chosen[:, plans]
        self._length, self._candidate_mask = self._plan_length, None
        self._add(added)

    def advance(self, tokens: Tensor, keep: bool) -> Tensor:
        """Apply the layer to one token of each of X candidates, or of the plan (X = 1), (R, X, D).

        Args:
            tokens: (R, X, D).
            keep: whether later tokens may attend to them.
        """

        def attend(query: Tensor, key_value: Tensor) -> Tensor:
            if keep:
                self._add(key_value.permute(2, 0, 3, 1, 4))  # (R, X, 2, H, D/H) -> (2, R, H, X, D/H)
            return self._attend_cache(query)

        return self.apply(tokens, attend)

    def _add(self, key_value: Tensor) -> None:
        """Append keys and values (2, R, H, n, D/H) to the cache."""
        after = self._length + key_value.shape[3]
        self._suffix[:, :, :, self._length : after] = key_value
        self._length = after
        if self._candidate_mask is None:
            self._plan_length = after

    def _attend_cache(self, query: Tensor) -> Tensor:
        """Attend from queries (R, H, X, D/H) to prefix, plan and candidate; same shape."""
        query = (query * self.head_width**-0.5).unflatten(0, (self._prefix.shape[1], -1))  # (E, W, H, X, D/H)
        cached = self._suffix[:, :, :, : self._length].unflatten(1, query.shape[:2])  # (2, E, W, H, t, D/H)
        shape = (query.shape[1], query.shape[3])

        def shared(given: Tensor, by: Tensor) -> Tensor:
            """Multiply (E, W, H, X, m) by (E, H, m, k) in one product for all plans of an episode."""
            out = given.transpose(1, 2).flatten(2, 3) @ by  # (E, H, W × X, k)
            return out.unflatten(2, shape).transpose(1, 2)  # -> (E, W, H, X, k)

        own = query @ cached[0].transpose(3, 4)  # (E, W, H, X, t)
        if self._candidate_mask is not None:
            own += self._candidate_mask[:, : self._length]
        scores = torch.cat([shared(query, self._prefix[0].transpose(2, 3)), own], dim=4)
        before, since = scores.softmax(dim=4).split([self._prefix.shape[3], self._length], dim=4)
        return (shared(before, self._prefix[1]) + since @ cached[1]).flatten(0, 1)  # -> (R, H, X, D/H)
