"""Keys and values of many plans that begin alike, each computed once.

::

    plans    (E × W, …)     what happened before, and what each of W plans of E episodes has chosen so far
    twigs    (E × W × X, …) what each of X continuations of a plan adds, until the best W are kept

Tokens look at both; copying happens only where continuations become plans.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

from dt.acting.folded import FoldedBlock
from dt.gpt import Block


class _Level:
    """Keys and values of the tokens that rows have seen, with room for more."""

    def __init__(self, room: Tensor) -> None:
        """Begin with no tokens in ``room`` (2, R, H, T, D/H)."""
        self.room, self.tokens = room, 0

    def add(self, key_value: Tensor) -> None:
        """Tokens (R, n, 2, H, D/H) more."""
        after = self.tokens + key_value.shape[1]
        self.room[:, :, :, self.tokens : after] = key_value.permute(2, 0, 3, 1, 4)  # -> (2, R, H, n, D/H)
        self.tokens = after

    @property
    def held(self) -> Tensor:
        """(2, R, H, t, D/H)."""
        return self.room[:, :, :, : self.tokens]


class LayerBranches(FoldedBlock):
    """One layer of a transformer, with the keys and values of plans and twigs."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self._levels: list[_Level] = []  # plans, then twigs if there are any
        self._stem = 0  # tokens that all plans of an episode share

    def root(self, tokens: Tensor, mask: Tensor, kept: Tensor, width: int, room: int) -> Tensor:
        """Begin ``width`` plans for each of E episodes with the same tokens (E, n, D).

        Args:
            tokens: (E, n, D).
            mask: (1, 1, n, n) bool, True where a token may look.
            kept: (n,) bool, those that later ones may look at.
            width: plans of an episode.
            room: for so many tokens of each plan.
        """

        def look(query: Tensor, key_value: Tensor) -> Tensor:
            self._stem = int(kept.sum())
            self._levels = [self._level(len(tokens) * width, self._stem + room)]
            self._levels[0].add(key_value[:, kept].repeat_interleave(width, dim=0))
            keys, values = key_value.transpose(1, 3).unbind(2)  # each (E, H, n, D/H)
            return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)

        return self.apply(tokens, look)

    def branch(self, rows: int, room: int) -> None:
        """Begin ``rows`` twigs, equally many for each plan, with room for ``room`` tokens each."""
        self._levels.append(self._level(rows, room))

    def keep(self, twigs: Tensor, plans: Tensor) -> None:
        """Make plans of the ``twigs`` (W',), each of which continues the row of ``plans`` (W',)."""
        added, grown = self._levels.pop(), self._levels[0]
        own = grown.held[:, :, :, self._stem :]  # (2, W', H, t, D/H)
        own[:] = own[:, plans]
        after = grown.tokens + added.tokens
        grown.room[:, :, :, grown.tokens : after] = added.held[:, twigs]
        grown.tokens = after

    def _level(self, rows: int, room: int) -> _Level:
        weight, _ = self._output
        return _Level(weight.new_empty(2, rows, self.heads, room, self.head_width))

    def advance(self, tokens: Tensor, keep: bool) -> Tensor:
        """New values of a token (R, 1, D) of each row of the last level, seen by later ones if ``keep``."""

        def look(query: Tensor, key_value: Tensor) -> Tensor:
            if keep:
                self._levels[-1].add(key_value)
            return self._look(query)

        return self.apply(tokens, look)

    def _look(self, query: Tensor) -> Tensor:
        """What queries (R, H, 1, D/H) see of all levels, (R, H, 1, D/H)."""
        held = [level.held for level in self._levels if level.tokens]
        query = query * self.head_width**-0.5
        scores = [
            _ungrouped(_grouped(query, one.shape[1]) @ one[0].transpose(2, 3), len(query)) for one in held
        ]  # each (R, H, 1, t)
        weights = torch.cat(scores, dim=3).softmax(dim=3)
        shares = weights.split([one.shape[3] for one in held], dim=3)  # each (R, H, 1, t)
        seen = [
            _ungrouped(_grouped(share, one.shape[1]) @ one[1], len(query))
            for share, one in zip(shares, held, strict=True)
        ]  # each (R, H, 1, D/H)
        return sum(seen[1:], start=seen[0])


def _grouped(rows: Tensor, groups: int) -> Tensor:
    """Rows (R, H, 1, d) that share keys, beside each other: (groups, H, R / groups, d)."""
    if len(rows) == groups:
        return rows
    return rows.unflatten(0, (groups, -1))[:, :, :, 0].transpose(1, 2)


def _ungrouped(grouped: Tensor, rows: int) -> Tensor:
    """The way back, (groups, H, R / groups, d) -> (R, H, 1, d)."""
    if len(grouped) == rows:
        return grouped
    return grouped.transpose(1, 2).reshape(rows, grouped.shape[1], 1, -1)
