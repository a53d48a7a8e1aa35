"""Keys and values of many plans that begin alike: what they share is kept once.

::

    stem     (E, …)         what happened before the plans, once for each of E episodes
    plans    (E × W, …)     what each of W plans has chosen so far
    twigs    (E × W × X, …) what each of X continuations of a plan adds, until the best W are kept

Tokens look at all three; copying happens only where continuations become plans.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dt.folded import FoldedBlock
from dt.gpt import Block


class LayerBranches(FoldedBlock):
    """One layer of a transformer, with the keys and values of stem, plans and twigs."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self._parts: list[Tensor] = []  # of each level (rows, t, 2, H, D/H), fewer rows first

    def root(self, tokens: Tensor, mask: Tensor, kept: Tensor) -> Tensor:
        """Begin with a stem of tokens (E, n, D), of which later ones see those ``kept`` (n,).

        Args:
            tokens: (E, n, D).
            mask: (1, 1, n, n) bool, True where a token may look.
            kept: (n,) bool.
        """

        def look(query: Tensor, key_value: Tensor) -> Tensor:
            self._parts = [key_value[:, kept]]
            keys, values = key_value.transpose(1, 3).unbind(2)  # each (E, H, n, D/H)
            return torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)

        return self.apply(tokens, look)

    def branch(self, rows: int) -> None:
        """Begin a level of ``rows`` rows, equally many for each row of the level before."""
        stem = self._parts[0]
        self._parts.append(stem.new_empty(rows, 0, *stem.shape[2:]))

    def keep(self, twigs: Tensor, plans: Tensor) -> None:
        """Make plans of the ``twigs`` (W',), each of which continues the row of ``plans`` (W',)."""
        stem, grown, added = self._parts
        self._parts = [stem, torch.cat([grown[plans], added[twigs]], dim=1)]

    def advance(self, tokens: Tensor, keep: bool) -> Tensor:
        """New values of a token (R, 1, D) of each row of the last level, seen by later ones if ``keep``."""

        def look(query: Tensor, key_value: Tensor) -> Tensor:
            if keep:
                self._parts[-1] = torch.cat([self._parts[-1], key_value], dim=1)
            return self._look(query)

        return self.apply(tokens, look)

    def _look(self, query: Tensor) -> Tensor:
        """What queries (R, H, 1, D/H) see of all levels, (R, H, 1, D/H)."""
        grouped = [(_grouped(query, len(part)), part) for part in self._parts if part.shape[1]]
        scores = [
            _ungrouped(torch.einsum("rhgd,rthd->rhgt", queries, part[:, :, 0]), len(query))
            for queries, part in grouped
        ]  # each (R, H, t)
        weights = torch.softmax(torch.cat(scores, dim=2) * self.head_width**-0.5, dim=2)
        shares = weights[:, :, None].split([part.shape[1] for _, part in grouped], dim=3)  # (R, H, 1, t)
        seen = [
            _ungrouped(torch.einsum("rhgt,rthd->rhgd", _grouped(share, len(part)), part[:, :, 1]), len(query))
            for share, (_, part) in zip(shares, grouped, strict=True)
        ]  # each (R, H, D/H)
        return torch.stack(seen).sum(dim=0)[:, :, None]


def _grouped(rows: Tensor, groups: int) -> Tensor:
    """Rows (R, H, 1, d) that share keys, beside each other: (groups, H, R / groups, d)."""
    return rows.unflatten(0, (groups, -1))[:, :, :, 0].transpose(1, 2)


def _ungrouped(grouped: Tensor, rows: int) -> Tensor:
    """The way back, (groups, H, R / groups, d) -> (R, H, d)."""
    return grouped.transpose(1, 2).reshape(rows, grouped.shape[1], -1)
