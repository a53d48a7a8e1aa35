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

from dt.acting.folded import FoldedBlock
from dt.gpt import Block


class LayerStream(FoldedBlock):
    """One layer of a transformer, with the keys and values of the last tokens in a ring."""

    def __init__(self, block: Block, batch_size: int, slots: int, tokens: int) -> None:
        """Begin with nothing in ``slots`` slots of ``tokens`` tokens each."""
        super().__init__(block)
        self._held = block.inner.weight.new_zeros(batch_size, slots * tokens, 2, self.heads, self.head_width)

    def advance(self, tokens: Tensor, mask: Tensor, slot: int) -> Tensor:
        """New values of tokens (B, n, D), which take the place of the oldest ones in ``slot``.

        Args:
            tokens: (B, n, D).
            mask: (1, 1, n, slots × n) float, 0 where a token may look and −∞ where not.
            slot: where the oldest ones are.
        """
        count = tokens.shape[1]

        def look(query: Tensor, key_value: Tensor) -> Tensor:
            self._held[:, slot * count : (slot + 1) * count] = key_value
            keys, values = self._held.transpose(1, 3).unbind(2)  # each (B, H, slots × n, D/H)
            return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)

        return self.apply(tokens, look)


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
