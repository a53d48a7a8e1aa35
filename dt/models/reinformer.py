"""Reinformer (Zhuang et al., 2024): a Decision Transformer that predicts which return to want.

These things differ from github.com/Dragon-Zhuang/Reinformer. Actions are fitted by the head that all models
here have, by squared error or cross-entropy, where the authors fit a normal distribution, with a bonus for
its entropy, and act by its mean. AdamW stands for LAMB. And every row is an equally likely start of a window,
which may run past its episode's end; the authors draw one window of each episode, and none runs past the end
of one that is long enough.
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
    """Shape of a Reinformer; the defaults are the authors' for the gym tasks.

    Raises:
        InputError: if a value is not possible.
    """

    context: int = 5  # steps of a training window, and of what is seen when acting
    transformer: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(
            layers=4, heads=8, width=256, activation="gelu", norm="post"
        )
    )
    expectile: float = 0.99  # of the returns that the data reach from here: the closer to 1, the higher

    def __post_init__(self) -> None:
        if self.context < 1:
            raise InputError(f"Expected a context of at least 1 step, got {self.context}.")
        if not 0.0 < self.expectile < 1.0:
            raise InputError(f"Expected 0 < expectile < 1, got {self.expectile}.")


class Reinformer(HistoryModel):
    """Predicts the highest return that the data reach from a history, then the action that goes with it."""

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
        """Note how large returns are; the authors do so in each batch."""
        returns = normalization.returns(torch.as_tensor(episodes.returns_to_go))
        self.mean_return.fill_(float(returns.abs().mean()) or 1.0)

    def loss(self, batch: Batch) -> Tensor:
        """Expectile loss of the returns (equation 5 of the paper), and the error of the actions."""
        features = self.features(batch)
        returns = self.return_head(features[:, self.tokens.read_returns])[:, :, 0].float()  # (B, K)
        missed = (batch.returns_to_go - returns) / self.mean_return
        weights = (self.config.expectile - (missed < 0.0).float()).abs()
        errors = torch.where(batch.valid, weights * missed.square(), 0.0)
        acted = self.head.loss(features[:, self.tokens.read], batch.actions, batch.valid)
        return errors.sum() / batch.valid.sum() + acted

    def best_return(self, history: Batch) -> Tensor:
        """The highest return-to-go (B,) from the last step on, whose own one is not looked at."""
        out: Tensor = self.return_head(self.features(history)[:, -2])[
            :, 0
        ]  # (B, 3K − 1, D) -> (B, D) -> (B,)
        return out

    def with_predicted_return(self, history: Batch) -> Batch:
        """The history with the best return from the last step on."""
        best = self.best_return(history)[:, None]  # (B,) -> (B, 1)
        return history._replace(returns_to_go=torch.cat([history.returns_to_go[:, :-1], best], dim=1))

    def act(self, history: Batch) -> Tensor:
        """The action for the last step, beside its return-to-go."""
        return self.head.decide(self.features(history, LAST)[:, 0])  # (B, 1, D) -> (B, D)

    def features(self, batch: Batch, read: slice = ALL) -> Tensor:
        """What the transformer makes of the tokens at the positions ``read``, (B, R, D)."""
        mask = causal_mask(self.tokens.valid(batch.valid), self.tokens.per_step)
        out: Tensor = self.transformer(self.tokens(batch), mask, read)
        return out

    def stream(self, batch_size: int, generator: torch.Generator) -> Stream:
        """Acts on whole histories; nothing is random."""
        return ReinformerStream(self, batch_size)


class ReinformerStream(History):
    """A batch of episodes in which the best return is predicted at each step, whatever is wanted."""

    def __init__(self, model: Reinformer, batch_size: int) -> None:
        """Begin ``batch_size`` episodes."""
        super().__init__(model, model.spaces, batch_size)
        self._reinformer = model

    def _act(self, timestep: int) -> Tensor:
        self._returns_to_go[-1] = self._reinformer.best_return(self._batch(timestep))
        return super()._act(timestep)
