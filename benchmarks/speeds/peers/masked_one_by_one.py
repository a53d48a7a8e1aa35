"""The authors' training of an energy model: one forward pass for each masked action.

Reimplemented from github.com/hychen-naza/LEAP, ``mingpt/leap_model_babyai.py``: a token for the observation
of each step, of which only the first is known, and one for each action, which is predicted at the observation
before it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from dt.data.windows import Windows
from dt.models.energy import left_aligned
from dt.models.gpt import Transformer, TransformerConfig
from dt.training.optimizer import TrainConfig


class MaskedModel(nn.Module):
    """A Transformer with full attention over observation and action tokens."""

    def __init__(
        self, transformer: TransformerConfig, horizon: int, observation_size: int, choices: int
    ) -> None:
        super().__init__()
        self.masked = choices  # the token that stands for a masked action
        self.embed_observation = nn.Linear(observation_size, transformer.width)
        self.embed_action = nn.Embedding(choices + 1, transformer.width)
        self.embed_place = nn.Parameter(torch.zeros(2 * horizon, transformer.width))
        self.transformer = Transformer(transformer)
        self.head = nn.Linear(transformer.width, choices)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Logits (B, H, N) of all actions (B, H), some of which are masked, for observations (B, H, obs)."""
        tokens = torch.stack([self.embed_observation(observations), self.embed_action(actions)], dim=2)
        tokens = tokens.flatten(1, 2) + self.embed_place  # (B, H, 2, D) -> (B, 2H, D)
        everyone = tokens.new_ones(1, 1, tokens.shape[1], tokens.shape[1], dtype=torch.bool)
        out: Tensor = self.head(self.transformer(tokens, everyone)[:, ::2])
        return out


class Loop:
    """A training loop that masks one action per forward pass."""

    def __init__(
        self, model: MaskedModel, windows: Windows, tokens: Callable[[Tensor], Tensor], config: TrainConfig
    ) -> None:
        self.model, self.windows, self.tokens, self.config = model.train(), windows, tokens, config
        self.generator = torch.Generator().manual_seed(config.seed)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=config.betas)

    def advance(self) -> float:
        """Take one gradient step and return its loss."""
        batch = left_aligned(self.windows.sample(self.config.batch_size, self.generator))
        observations = torch.zeros_like(batch.observations)
        observations[:, 0] = batch.observations[:, 0]
        actions, total = self.tokens(batch.actions), torch.zeros(())
        for place in range(actions.shape[1]):
            masked = actions.clone()
            masked[:, place] = self.model.masked
            logits = self.model(observations, masked)[:, place]
            total = total + F.cross_entropy(logits, actions[:, place])
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        return float(total.detach())
