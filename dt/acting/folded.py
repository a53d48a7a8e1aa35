"""A block of a transformer as acting wants it: without dropout, and with its weights at hand.

The sums are those of ``gpt.Block``. They are written out because calls of modules took a third of the time of
a single episode's step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

from dt.gpt import Block

# From queries (B, H, n, D/H) and the keys and values (B, n, 2, H, D/H) of the same tokens to what is seen, as
# queries; whoever keeps keys and values does it here.
Look = Callable[[Tensor, Tensor], Tensor]


class FoldedBlock:
    """Attention, then a two-layer network on each token; where keys and values are kept is left open."""

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

    def apply(self, tokens: Tensor, look: Look) -> Tensor:
        """New values of tokens (B, n, D)."""
        first, second = self._norms
        if self._pre_norm:
            hidden = tokens + self._attend(F.layer_norm(tokens, *first), look)
            return hidden + self._mlp(F.layer_norm(hidden, *second))
        hidden = F.layer_norm(tokens + self._attend(tokens, look), *first)
        return F.layer_norm(hidden + self._mlp(hidden), *second)

    def _attend(self, tokens: Tensor, look: Look) -> Tensor:
        batch, count, _ = tokens.shape
        projected = F.linear(tokens, *self._projection).split(self._widths, dim=2)  # (B, n, 3D) -> D and 2D
        query = projected[0].view(batch, count, self.heads, -1).transpose(1, 2)  # (B, H, n, D/H)
        seen = look(query, projected[1].view(batch, count, 2, self.heads, -1))  # (B, H, n, D/H)
        return F.linear(seen.transpose(1, 2).reshape(batch, count, -1), *self._output)  # (B, n, D)

    def _mlp(self, tokens: Tensor) -> Tensor:
        return F.linear(self._activation(F.linear(tokens, *self._inner)), *self._outer)
