"""Keys and values of many plans that begin alike, each computed once.

::

    stem     (E, …)          what happened before, which all plans of an episode share
    plans    (E, W, …)       what each of W plans has chosen so far
    twigs    (E, W, X, …)    what each of X continuations of a plan adds, until the best W are kept

The twigs of a plan lie behind it, a token of each beside one another, so that one product serves them all::

    chosen │ first of twig 0, 1, … │ second of twig 0, 1, … │ room
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

from dt.acting.folded import FoldedBlock
from dt.gpt import Block


class LayerBranches(FoldedBlock):
    """One layer of a transformer, with the keys and values of stems, plans and twigs."""

    _stem: Tensor  # (2, E, H, s, D/H), keys and values
    _room: Tensor  # (2, E × W, H, T, D/H)

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self._chosen = self._tokens = 0  # where plans and their twigs end in the room
        self._hidden: Tensor | None = None  # (X, T), −∞ where a twig may not look; None while there are none

    def root(self, tokens: Tensor, mask: Tensor, kept: Tensor, width: int, room: int) -> Tensor:
        """Begin ``width`` plans for each of E episodes with the same tokens (E, n, D).

        Args:
            tokens: (E, n, D).
            mask: (1, 1, n, n) bool, True where a token may look.
            kept: (n,) bool, those that later ones may look at.
            width: plans of an episode.
            room: for so many tokens of each plan and its twigs.
        """

        def look(query: Tensor, key_value: Tensor) -> Tensor:
            both = key_value.permute(2, 0, 3, 1, 4)  # (E, n, 2, H, D/H) -> (2, E, H, n, D/H)
            self._stem = both[:, :, :, kept]
            self._room = both.new_empty(2, len(tokens) * width, self.heads, room, self.head_width)
            return F.scaled_dot_product_attention(query, both[0], both[1], attn_mask=mask)

        return self.apply(tokens, look)

    def branch(self, twigs: int) -> None:
        """Continue each plan in ``twigs`` ways, of which each sees the plan and itself."""
        itself = torch.eye(twigs, dtype=torch.bool, device=self._room.device)
        rest = self._room.shape[3] - self._chosen
        seen = torch.cat([itself.new_ones(twigs, self._chosen), itself.repeat(1, -(-rest // twigs))], dim=1)
        self._hidden = self._room.new_zeros(seen.shape).masked_fill(~seen, -torch.inf)  # (X, ≥ T)

    def keep(self, plans: Tensor, twigs: Tensor) -> None:
        """Go on with these alone: ``plans`` (R,), each continued by its own one of ``twigs`` (R,)."""
        assert self._hidden is not None
        added = self._room[:, :, :, self._chosen : self._tokens].unflatten(3, (-1, len(self._hidden)))
        added = added[:, plans, :, :, twigs].transpose(0, 1)  # (2, R, H, n, X, D/H) -> (2, R, H, n, D/H)
        chosen = self._room[:, :, :, : self._chosen]  # (2, R, H, t, D/H)
        chosen[:] = chosen[:, plans]
        self._tokens, self._hidden = self._chosen, None
        self._add(added)

    def advance(self, tokens: Tensor, keep: bool) -> Tensor:
        """New values of a token of each of X twigs, or of the plan, (R, X, D); later seen if ``keep``."""

        def look(query: Tensor, key_value: Tensor) -> Tensor:
            if keep:
                self._add(key_value.permute(2, 0, 3, 1, 4))  # (R, X, 2, H, D/H) -> (2, R, H, X, D/H)
            return self._look(query)

        return self.apply(tokens, look)

    def _add(self, key_value: Tensor) -> None:
        """Tokens (2, R, H, n, D/H) more."""
        after = self._tokens + key_value.shape[3]
        self._room[:, :, :, self._tokens : after] = key_value
        self._tokens = after
        if self._hidden is None:
            self._chosen = after

    def _look(self, query: Tensor) -> Tensor:
        """What queries (R, H, X, D/H) see, as queries."""
        query = (query * self.head_width**-0.5).unflatten(0, (self._stem.shape[1], -1))  # (E, W, H, X, D/H)
        held = self._room[:, :, :, : self._tokens].unflatten(1, query.shape[:2])  # (2, E, W, H, t, D/H)
        shape = (query.shape[1], query.shape[3])

        def shared(given: Tensor, by: Tensor) -> Tensor:
            """(E, W, H, X, m) times (E, H, m, k), in one product for all plans of an episode."""
            out = given.transpose(1, 2).flatten(2, 3) @ by  # (E, H, W × X, k)
            return out.unflatten(2, shape).transpose(1, 2)  # -> (E, W, H, X, k)

        own = query @ held[0].transpose(3, 4)  # (E, W, H, X, t)
        if self._hidden is not None:
            own += self._hidden[:, : self._tokens]
        scores = torch.cat([shared(query, self._stem[0].transpose(2, 3)), own], dim=4)
        before, since = scores.softmax(dim=4).split([self._stem.shape[3], self._tokens], dim=4)
        return (shared(before, self._stem[1]) + since @ held[1]).flatten(0, 1)  # -> (R, H, X, D/H)
