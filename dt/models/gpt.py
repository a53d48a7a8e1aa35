"""GPT-style transformer shared by all sequence models, which differ in tokens and attention masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {  # named as in Hugging Face transformers
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
}
INIT_STD = 0.02  # of all weight matrices, as in GPT-2
ALL = slice(None)


@dataclass(frozen=True)
class TransformerConfig:
    """Architecture of the transformer; the defaults are those of Chen et al. (2021) for the Gym tasks.

    Raises:
        InputError: if a value is out of range.
    """

    layers: int = 3
    heads: int = 1
    width: int = 128  # embedding dimension; the hidden layer of each MLP is 4 times as wide
    activation: str = "relu"  # or "gelu", or GPT-2's tanh approximation "gelu_new"
    norm: str = "pre"  # LayerNorm before each sublayer (GPT-2), or "post": after it (Vaswani et al., 2017)
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.layers, self.heads, self.width) < 1 or self.width % self.heads:
            raise InputError(
                f"Expected at least one layer and head and a width divisible by heads, got layers="
                f"{self.layers}, heads={self.heads}, width={self.width}."
            )
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        if self.norm not in ("pre", "post"):
            raise unknown("norm", self.norm, ("pre", "post"))
        if not 0.0 <= self.dropout < 1.0:
            raise InputError(f"Expected 0 <= dropout < 1, got {self.dropout}.")


def causal_mask(valid: Tensor, tokens_per_step: int = 1, window: int | None = None) -> Tensor:
    """Causal attention mask: True where query i may attend to key j, that is, j ≤ i and j is not padding.

    Every token also attends to itself, so that no row is empty; valid tokens never attend to padding.

    Args:
        valid: (B, T) bool, False on padding.
        tokens_per_step: consecutive tokens per step.
        window: attention window in steps, including the token's own; None for no limit.

    Returns:
        (B, 1, T, T) bool: batch, every head, query, key.
    """
    tokens = valid.shape[1]
    earlier = torch.ones(tokens, tokens, dtype=torch.bool, device=valid.device).tril()
    if window is not None:
        step = torch.arange(tokens, device=valid.device) // tokens_per_step
        earlier &= step[:, None] - step < window
    itself = torch.eye(tokens, dtype=torch.bool, device=valid.device)
    return (earlier & valid[:, None, None, :]) | itself  # (T, T) & (B, 1, 1, T) -> (B, 1, T, T)


class Attention(nn.Module):
    """Multi-head attention from a subset of tokens to all tokens."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.query = nn.Linear(config.width, config.width)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(self, queries: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Attend from ``queries`` (B, Q, D) to ``tokens`` (B, T, D) where ``mask`` (B, 1, Q, T) is True."""
        batch, count, width = queries.shape
        query = self._split(self.query(queries))  # (B, Q, D) -> (B, H, Q, D/H)
        key, value = map(self._split, self.key_value(tokens).split(width, dim=2))  # each (B, H, T, D/H)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        out: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, count, width))  # -> (B, Q, D)
        return out

    def weights(self, queries: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Attention weights (B, H, Q, T), where each row sums to 1."""
        query = self._split(self.query(queries))  # (B, Q, D) -> (B, H, Q, D/H)
        key = self._split(self.key_value(tokens)[:, :, : tokens.shape[2]])  # (B, T, 2D) -> (B, H, T, D/H)
        scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5  # (B, H, Q, T)
        return scores.masked_fill(~mask, -torch.inf).softmax(dim=3)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, D/H)


class Block(nn.Module):
    """Transformer block: attention and a two-layer MLP, each with a residual connection."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pre_norm = config.norm == "pre"
        self.attention = Attention(config)
        self.inner, self.outer = (
            nn.Linear(config.width, 4 * config.width),
            nn.Linear(4 * config.width, config.width),
        )
        self.activation = ACTIVATIONS[config.activation]
        self.attention_norm, self.mlp_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, mask: Tensor, read: slice = ALL) -> Tensor:
        """Apply the block to ``tokens`` (B, T, D), and return positions ``read`` (B, R, D)."""
        mask = mask[:, :, read]  # (B, 1, T, T) -> (B, 1, R, T)
        if self.pre_norm:
            normed = self.attention_norm(tokens)
            hidden = tokens[:, read] + self.dropout(
                self.attention(normed[:, read], normed, mask)
            )  # (B, R, D)
            out: Tensor = hidden + self.dropout(self._mlp(self.mlp_norm(hidden)))
            return out
        attended = self.dropout(self.attention(tokens[:, read], tokens, mask))  # (B, R, D)
        hidden = self.attention_norm(tokens[:, read] + attended)
        out = self.mlp_norm(hidden + self.dropout(self._mlp(hidden)))
        return out

    def _mlp(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.outer(self.activation(self.inner(tokens)))
        return out


class Transformer(nn.Module):
    """Stack of blocks on embedded tokens, which include position embeddings."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        blocks = [Block(config) for _ in range(config.layers)]
        self.blocks: Sequence[Block] = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.final_norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        self.apply(initialize)

    def forward(self, tokens: Tensor, mask: Tensor, read: slice = ALL) -> Tensor:
        """Compute features (B, R, D) at the positions ``read`` of ``tokens`` (B, T, D).

        The last block computes those positions only, which is exact, since no block follows.

        Args:
            tokens: (B, T, D) embeddings.
            mask: (B, 1, T, T) bool attention mask, True where attention is allowed, from ``causal_mask``.
            read: positions to return.
        """
        hidden = self.dropout(tokens)
        *earlier, last = self.blocks
        for block in earlier:
            hidden = block(hidden, mask)
        out: Tensor = self.final_norm(last(hidden, mask, read))
        return out


def initialize(module: nn.Module) -> None:
    """Initialize a layer's weights as in GPT-2: normal with ``INIT_STD``, biases 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
