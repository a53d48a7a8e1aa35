"""A block of a transformer as acting wants it: without dropout, and with its weights at hand.

The sums are those of ``gpt.Block``. They are written out because calls of modules took a third of the time of
a single episode's step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

from dt.models.gpt import Block

# From queries (B, H, n, D/H) and the keys and values (B, n, 2, H, D/H) of the same tokens to what is seen, as
# queries; whoever keeps keys and values does it here.
Look = Callable[[Tensor, Tensor], Tensor]


class InferenceBlock:
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


class RingBufferLayer(InferenceBlock):
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


def ring_slots(relative_steps: Sequence[int], window: int) -> int:
    """How many slots a window takes, where tokens of a slot belong to steps ``relative_steps`` apart."""
    return window - min(relative_steps)


def ring_masks(relative_steps: Sequence[int], window: int) -> Tensor:
    """Who may look at whom in the ring, at each of its first turns and, from then on, again and again.

    Returns:
        (2 × slots, 1, 1, n, slots × n) float, 0 or −∞: at step t < slots entry t, later slots + t mod slots.
    """
    slots, tokens = ring_slots(relative_steps, window), len(relative_steps)
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


class BeamLayer(InferenceBlock):
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
