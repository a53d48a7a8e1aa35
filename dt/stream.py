"""Acting step by step: keys and values of what was seen are kept, and a step costs its own tokens only.

This is exact where attention slides: a token's features then depend on the tokens before it alone, and never
change. Where a context is cut off instead, every feature changes when the oldest step falls out of it.

::

    slot    0           1           2           3          window of 3 steps, one slot more
    t = 4   a₃ R̂₄ s₄    a₀ R̂₁ s₁    a₁ R̂₂ s₂    a₂ R̂₃ s₃    s₄ looks at steps 2, 3 and 4; a₃ at 1, 2 and 3
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

from dt.gpt import Block


class LayerStream:
    """One layer of a transformer, with the keys and values of the last tokens in a ring.

    The sums are those of ``gpt.Block`` without dropout. They are written out because calls of modules took a
    third of the time of a single episode's step.
    """

    def __init__(self, block: Block, batch_size: int, slots: int, tokens: int) -> None:
        """Begin with nothing in ``slots`` slots of ``tokens`` tokens each."""
        attention, inner, outer = block.attention, block.inner, block.outer
        self._pre_norm, self._tokens, self._heads = block.pre_norm, tokens, attention.heads
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
        self._widths = width, 2 * width
        self._held = inner.weight.new_zeros(batch_size, slots * tokens, 2, self._heads, width // self._heads)

    def advance(self, tokens: Tensor, mask: Tensor, slot: int) -> Tensor:
        """New values of tokens (B, n, D), which take the place of the oldest ones in ``slot``.

        Args:
            tokens: (B, n, D).
            mask: (1, 1, n, slots × n) float, 0 where a token may look and −∞ where not.
            slot: where the oldest ones are.
        """
        first, second = self._norms
        if self._pre_norm:
            hidden = tokens + self._attend(F.layer_norm(tokens, *first), mask, slot)
            return hidden + self._mlp(F.layer_norm(hidden, *second))
        hidden = F.layer_norm(tokens + self._attend(tokens, mask, slot), *first)
        return F.layer_norm(hidden + self._mlp(hidden), *second)

    def _attend(self, tokens: Tensor, mask: Tensor, slot: int) -> Tensor:
        batch, count, _ = tokens.shape
        projected = F.linear(tokens, *self._projection).split(self._widths, dim=2)  # (B, n, 3D) -> D and 2D
        query = projected[0].view(batch, count, self._heads, -1).transpose(1, 2)  # (B, H, n, D/H)
        place = slice(slot * count, (slot + 1) * count)
        self._held[:, place] = projected[1].view(batch, count, 2, self._heads, -1)
        keys, values = self._held.transpose(1, 3).unbind(2)  # each (B, H, slots × n, D/H)
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return F.linear(mixed.transpose(1, 2).reshape(batch, count, -1), *self._output)  # (B, n, D)

    def _mlp(self, tokens: Tensor) -> Tensor:
        return F.linear(self._activation(F.linear(tokens, *self._inner)), *self._outer)


def slots_for(relative_steps: Sequence[int], window: int) -> int:
    """How many slots a window takes, where tokens of a slot belong to steps ``relative_steps`` apart."""
    return window - min(relative_steps)


def ring_masks(relative_steps: Sequence[int], window: int) -> Tensor:
    """Who may look at whom in the ring, at each of its first turns and, from then on, again and again.

    Returns:
        (2 × slots, 1, 1, n, slots × n) float, 0 or −∞: at step t < slots entry t, later slots + t mod slots.
    """
    slots, tokens = slots_for(relative_steps, window), len(relative_steps)
    step = torch.arange(2 * slots)[:, None]  # (2S, 1)
    group = step - (step - torch.arange(slots)) % slots  # which step filled a slot last, (2S, S)
    relative, place = torch.tensor(relative_steps), torch.arange(tokens)  # (n,)
    key_steps = (group[:, :, None] + relative).flatten(1)[:, None]  # (2S, S, n) -> (2S, 1, S × n)
    key_places = (group[:, :, None] * tokens + place).flatten(1)[:, None]  # likewise
    query_steps = (step + relative)[:, :, None]  # (2S, n, 1)
    query_places = (step * tokens + place)[:, :, None]
    near = (query_steps - key_steps < window) & (key_steps >= 0)
    allowed = (near & (key_places <= query_places)) | (key_places == query_places)
    return torch.where(allowed, 0.0, -torch.inf)[:, None, None]  # (2S, n, S × n) -> (2S, 1, 1, n, S × n)
