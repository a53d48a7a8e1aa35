"""Reinformer (Zhuang et al., 2024): a Decision Transformer that predicts the return to condition on.

Differences from github.com/Dragon-Zhuang/Reinformer:

- The action head is that of all models here, with squared error or cross-entropy. The authors fit a normal
  distribution with an entropy bonus, and act with its mean.
- The optimizer is AdamW instead of LAMB.
- Every row is an equally likely start of a window, which may run past the end of its episode. The authors
  sample one window per episode, which runs past its end only if the episode is shorter than a window.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from dt.data.source import Spaces
from dt.data.windows import Batch, Normalization
from dt.models.base import ActionHead, Stream
from dt.models.gpt import ALL, Transformer, TransformerConfig, causal_mask
from dt.models.history import History, HistoryModel
from dt.models.tokens import LAST, StateFirstTokens


@dataclass(frozen=True)
class ReinformerConfig:
    """Architecture of a Reinformer; the defaults are the authors' for the Gym tasks.

    Raises:
        InputError: if a value is out of range.
    """

    context: int = 5  # steps per training window, and steps of history when acting
    transformer: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(
            layers=4, heads=8, width=256, activation="gelu", norm="post"
        )
    )
    expectile: float = 0.99  # of the returns-to-go in the data; values near 1 approach the highest return

    def __post_init__(self) -> None:
        if self.context < 1:
            raise InputError(f"Expected a context of at least 1 step, got {self.context}.")
        if not 0.0 < self.expectile < 1.0:
            raise InputError(f"Expected 0 < expectile < 1, got {self.expectile}.")


class Reinformer(HistoryModel):
    """Reinformer: predicts a high expectile of the return-to-go, then the action conditioned on it."""

    return_conditioned = False
    mean_return: Tensor  # () float32, mean |return-to-go| of the data, in units of the return scale

    def __init__(self, config: ReinformerConfig, spaces: Spaces) -> None:
        super().__init__()
        width = config.transformer.width
        self.config, self.spaces = config, spaces
        self.window = self.context = config.context
        self.tokens = StateFirstTokens(width, spaces)
        self.transformer = Transformer(config.transformer)
        self.return_head = nn.Linear(width, 1)
        self.head = ActionHead(width, spaces)
        self.register_buffer("mean_return", torch.ones(()))

    def prepare(self, episodes: Episodes, normalization: Normalization) -> None:
        """Compute the mean |return-to-go|, which scales the loss; the authors compute it per batch."""
        returns = normalization.returns(torch.as_tensor(episodes.returns_to_go))
        self.mean_return.fill_(float(returns.abs().mean()) or 1.0)

    def loss(self, batch: Batch) -> Tensor:
        """Compute the expectile loss of the returns (equation 5 of the paper) plus the action error."""
        features = self.features(batch)
        returns = self.return_head(features[:, self.tokens.read_returns])[:, :, 0].float()  # (B, K)
        residuals = (batch.returns_to_go - returns) / self.mean_return
        weights = (self.config.expectile - (residuals < 0.0).float()).abs()
        errors = torch.where(batch.valid, weights * residuals.square(), 0.0)
        action_loss = self.head.loss(features[:, self.tokens.read], batch.actions, batch.valid)
        return errors.sum() / batch.valid.sum() + action_loss

    def best_return(self, history: Batch) -> Tensor:
        """Predict the return-to-go (B,) of the last step; the one in ``history`` is ignored."""
        out: Tensor = self.return_head(self.features(history)[:, -2])[
            :, 0
        ]  # (B, 3K − 1, D) -> (B, D) -> (B,)
        return out

    def with_predicted_return(self, history: Batch) -> Batch:
        """Replace the last return-to-go by its prediction."""
        best = self.best_return(history)[:, None]  # (B,) -> (B, 1)
        return history._replace(returns_to_go=torch.cat([history.returns_to_go[:, :-1], best], dim=1))

    def act(self, history: Batch) -> Tensor:
        """Return the action for the last step, conditioned on its return-to-go."""
        return self.head.decide(self.features(history, LAST)[:, 0])  # (B, 1, D) -> (B, D)

    def features(self, batch: Batch, read: slice = ALL) -> Tensor:
        """Compute the transformer's features (B, R, D) at the token positions ``read``."""
        mask = causal_mask(self.tokens.valid(batch.valid), self.tokens.per_step)
        out: Tensor = self.transformer(self.tokens(batch), mask, read)
        return out

    def stream(self, batch_size: int, generator: torch.Generator) -> Stream:
        """Start deterministic inference on whole histories."""
        return ReinformerStream(self, batch_size)


class ReinformerStream(History):
    """Inference of a Reinformer, which predicts the return-to-go at each step and ignores the target."""

    def __init__(self, model: Reinformer, batch_size: int) -> None:
        """Start ``batch_size`` parallel episodes."""
        super().__init__(model, model.spaces, batch_size)
        self._reinformer = model

    def _act(self, timestep: int) -> Tensor:
        self._returns_to_go[-1] = self._reinformer.best_return(self._batch(timestep))
        return super()._act(timestep)
