"""Trajectory Transformer (Janner et al., 2021): a language model of trajectories, one token a number."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray
from dt.data.discretizer import QUANTILE, Discretizer
from dt.data.source import Spaces
from dt.data.token_windows import TokenBatch, TokenWindows, step_numbers
from dt.data.windows import Normalization
from dt.models.base import Model, Stream
from dt.models.gpt import INIT_STD, Transformer, TransformerConfig
from dt.planning.beam import PlanConfig, search


@dataclass(frozen=True)
class TrajectoryConfig:
    """Shape of a Trajectory Transformer; the defaults are the authors' for the gym tasks.

    Raises:
        InputError: if a value is not possible.
    """

    context: int = 20  # steps of a training window; the authors' 10 cannot hold a context and its plan
    bins: int = 100  # of each dimension
    binning: str = QUANTILE
    transformer: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(layers=4, heads=4, activation="gelu")
    )
    discount: float = 0.99  # of the reward a step later
    end_reward: float | None = -100.0  # with which an episode truly ends, in place of its own
    action_weight: float = 5.0  # of the error in an action's tokens
    plan: PlanConfig = field(default_factory=PlanConfig)

    def __post_init__(self) -> None:
        if self.context < 1:
            raise InputError(f"Expected a context of at least 1 step, got {self.context}.")
        if self.plan.context + self.plan.horizon > self.context:
            raise InputError(
                f"Expected a plan's context and horizon of at most {self.context} steps together, those of a "
                f"training window, got {self.plan.context} and {self.plan.horizon}."
            )
        if not 0.0 <= self.discount < 1.0:
            raise InputError(f"Expected 0 <= discount < 1, got {self.discount}.")


class TrajectoryTransformer(Model):
    """Predicts every number of a trajectory from those before it.

    ::

        s⁰ s¹ … a⁰ … r  V  s⁰ s¹ …       P tokens a step, N bins each, and a stop token that all share
           ↑              ↑              the output at a token is for the next one, by that one's head

    Nobody looks at V: at test time the return to come is not known.
    """

    return_conditioned = False
    mask: Tensor  # (1, 1, T, T) bool, who may look at whom

    def __init__(self, config: TrajectoryConfig, spaces: Spaces) -> None:
        super().__init__()
        self.config, self.spaces, self.window = config, spaces, config.context
        self.action_tokens = spaces.action_size if spaces.continuous else 1
        self.per_step = spaces.observation_size + self.action_tokens + 2  # P
        self.stop = config.bins
        width, tokens = config.transformer.width, config.context * self.per_step
        self.discretizer = Discretizer(self.per_step, config.bins)
        self.embed_token = nn.Embedding(config.bins * self.per_step + 1, width)
        self.embed_place = nn.Parameter(torch.zeros(tokens, width))
        self.transformer = Transformer(config.transformer)
        self.head = nn.Linear(width, self.per_step * (config.bins + 1), bias=False)
        nn.init.normal_(self.embed_token.weight, std=INIT_STD)
        nn.init.normal_(self.head.weight, std=INIT_STD)
        self.register_buffer("mask", self._mask(tokens), persistent=False)

    def prepare(self, episodes: Episodes, normalization: Normalization) -> None:
        """Cut the dimensions into bins as suits the data.

        Raises:
            InputError: if the data have more choices than there are bins, each of which is played as one.
        """
        choices = 0 if self.spaces.continuous else len(np.unique(episodes.actions))
        if choices > self.config.bins:
            raise InputError(
                f"Expected at least {choices} bins, one for each choice in the data, got {self.config.bins}; "
                f"raise bins, in the recipe's model, to {choices} or more."
            )
        self.discretizer.fit(self._numbers(episodes, normalization), self.config.binning)

    def sampler(self, episodes: Episodes, normalization: Normalization, device: torch.device) -> TokenWindows:
        """Windows of tokens."""
        numbers = self._numbers(episodes, normalization)
        return TokenWindows(episodes, numbers, self.discretizer, self.window, self.spaces)

    def loss(self, batch: TokenBatch) -> Tensor:
        """Mean cross-entropy, in nats, of the tokens that count, those of actions weighted."""
        tokens = batch.tokens.flatten(1)  # (B, K, P) -> (B, K × P)
        logits = self.logits(tokens[:, :-1]).float()
        errors = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")  # (B, K × P − 1)
        counted = batch.valid.repeat_interleave(self.per_step, dim=1)[:, 1:]
        weights = self._weights(tokens.device).repeat(self.window)[1:]  # (P,) -> (K × P − 1,)
        total = torch.where(counted, errors * weights, 0.0).sum()
        return total / (batch.valid.sum() * self.per_step)  # a window's first token is given

    def logits(self, tokens: Tensor) -> Tensor:
        """For the token after each of ``tokens`` (B, T), from the beginning of a step on: (B, T, N + 1)."""
        count = tokens.shape[1]
        features = self.transformer(self.embed(tokens), self.mask[:, :, :count, :count])
        padded = F.pad(features, (0, 0, 0, -count % self.per_step))  # (B, K × P, D)
        steps = padded.unflatten(1, (-1, self.per_step))  # -> (B, K, P, D)
        out: Tensor = torch.einsum("bkpd,pnd->bkpn", steps, self.heads).flatten(1, 2)  # -> (B, K × P, N + 1)
        return out[:, :count]

    @property
    def heads(self) -> Tensor:
        """The weights (P, N + 1, D) of the head at each dimension, which is for the next one."""
        return self.head.weight.unflatten(0, (self.per_step, -1))  # (P × (N + 1), D) -> (P, N + 1, D)

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        """What the transformer sees (B, T, D) of tokens (B, T) at the places from ``first`` on."""
        places = torch.arange(first, first + tokens.shape[1], device=tokens.device)
        own = (
            tokens + (places % self.per_step) * self.config.bins
        )  # every dimension has embeddings of its own
        shared = torch.where(tokens == self.stop, self.config.bins * self.per_step, own)
        out: Tensor = self.embed_token(shared) + self.embed_place[places]  # (B, T, D) + (T, D)
        return out

    def stream(self, batch_size: int, generator: torch.Generator) -> TrajectoryStream:
        """Plans anew at each step."""
        return TrajectoryStream(self, batch_size, generator)

    def _numbers(self, episodes: Episodes, normalization: Normalization) -> FloatArray:
        return step_numbers(episodes, normalization, self.config.discount, self.config.end_reward)

    def _weights(self, device: torch.device) -> Tensor:
        """Of the error in each dimension, (P,)."""
        weights = torch.ones(self.per_step, device=device)
        first = self.spaces.observation_size
        weights[first : first + self.action_tokens] = self.config.action_weight
        return weights

    def _mask(self, tokens: int) -> Tensor:
        """Who may look at whom, (1, 1, T, T): at what is earlier, or itself, and is no value."""
        earlier = torch.ones(tokens, tokens, dtype=torch.bool).tril()
        values = torch.arange(tokens) % self.per_step == self.per_step - 1
        return (earlier & ~values)[None, None]


class TrajectoryStream(Stream):
    """A batch of episodes in which the first action of a new plan is done at each step."""

    def __init__(self, model: TrajectoryTransformer, batch_size: int, generator: torch.Generator) -> None:
        """Begin ``batch_size`` episodes."""
        self._model, self._generator, self._plan = model, generator, model.config.plan
        self._steps = model.head.weight.new_zeros(
            batch_size, 0, model.per_step, dtype=torch.int64
        )  # (B, c, P)

    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """The first actions of the best plans."""
        model, seen = self._model, self._model.spaces.observation_size
        if timestep:
            rewarded = model.discretizer.encode(reward[:, None], first=model.per_step - 2)
            self._steps[:, -1, -2:-1] = rewarded  # nobody looks at the value, so it stays as planned
        self._steps = self._steps[:, max(self._steps.shape[1] - self._plan.context, 0) :]
        now = model.discretizer.encode(observation)  # (B, obs)
        history = torch.cat([self._steps.flatten(1), now], dim=1)  # (B, c × P + obs)
        best = search(model, history, self._plan, model.config.discount, self._generator)
        self._steps = torch.cat([self._steps, best.tokens[:, :1]], dim=1)  # (B, c + 1, P)
        self._steps[:, -1, :seen] = now
        actions = model.discretizer.decode(best.tokens[:, 0, seen:-2], first=seen)  # (B, act)
        return actions if model.spaces.continuous else actions[:, 0].long()
