"""Trajectory Transformer (Janner et al., 2021): autoregressive model of discretized trajectories."""

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
    """Architecture of a Trajectory Transformer; the defaults are the authors' for the Gym tasks.

    Raises:
        InputError: if a value is out of range.
    """

    context: int = 20  # steps per training window; the authors' 10 is too short for history and plan
    bins: int = 100  # per dimension
    binning: str = QUANTILE
    transformer: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(layers=4, heads=4, activation="gelu")
    )
    discount: float = 0.99  # γ
    end_reward: float | None = -100.0  # replaces the reward of terminal steps
    action_weight: float = 5.0  # loss weight of action tokens
    plan: PlanConfig = field(default_factory=PlanConfig)

    def __post_init__(self) -> None:
        if self.context < 1:
            raise InputError(f"Expected a context of at least 1 step, got {self.context}.")
        if self.plan.context + self.plan.horizon > self.context:
            raise InputError(
                f"Expected the plan's context plus horizon of at most {self.context} steps (the training "
                f"window), got {self.plan.context} and {self.plan.horizon}."
            )
        if not 0.0 <= self.discount < 1.0:
            raise InputError(f"Expected 0 <= discount < 1, got {self.discount}.")


class TrajectoryTransformer(Model):
    """Trajectory Transformer: predicts each token of a trajectory from all earlier tokens.

    ::

        s⁰ s¹ … a⁰ … r  V  s⁰ s¹ …       P tokens per step, N bins each, and a shared stop token
           ↑              ↑              the output at a token predicts the next one, with that one's head

    V is masked for all later tokens, since the true value is unknown when acting.
    """

    return_conditioned = False
    mask: Tensor  # (1, 1, T, T) bool attention mask

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
        """Fit the bins of all dimensions to the data.

        Raises:
            InputError: if the data have more discrete actions than bins, since each needs its own bin.
        """
        choices = 0 if self.spaces.continuous else len(np.unique(episodes.actions))
        if choices > self.config.bins:
            raise InputError(
                f"Expected at least {choices} bins, one per discrete action in the data, got "
                f"{self.config.bins}; raise bins in the recipe's model to {choices} or more."
            )
        self.discretizer.fit(self._numbers(episodes, normalization), self.config.binning)

    def sampler(self, episodes: Episodes, normalization: Normalization, device: torch.device) -> TokenWindows:
        """Return a sampler of token windows."""
        numbers = self._numbers(episodes, normalization)
        return TokenWindows(episodes, numbers, self.discretizer, self.window, self.spaces)

    def loss(self, batch: TokenBatch) -> Tensor:
        """Compute the mean cross-entropy of valid tokens in nats, with weighted action tokens."""
        tokens = batch.tokens.flatten(1)  # (B, K, P) -> (B, K × P)
        logits = self.logits(tokens[:, :-1]).float()
        errors = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")  # (B, K × P − 1)
        counted = batch.valid.repeat_interleave(self.per_step, dim=1)[:, 1:]
        weights = self._weights(tokens.device).repeat(self.window)[1:]  # (P,) -> (K × P − 1,)
        total = torch.where(counted, errors * weights, 0.0).sum()
        return total / (batch.valid.sum() * self.per_step)  # the first token of a window is not predicted

    def logits(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, N + 1) of the token after each of ``tokens`` (B, T), which start at a step."""
        count = tokens.shape[1]
        features = self.transformer(self.embed(tokens), self.mask[:, :, :count, :count])
        padded = F.pad(features, (0, 0, 0, -count % self.per_step))  # (B, K × P, D)
        steps = padded.unflatten(1, (-1, self.per_step))  # -> (B, K, P, D)
        out: Tensor = torch.einsum("bkpd,pnd->bkpn", steps, self.heads).flatten(1, 2)  # -> (B, K × P, N + 1)
        return out[:, :count]

    @property
    def heads(self) -> Tensor:
        """Output weights (P, N + 1, D) of the head at each dimension, which predicts the next one."""
        return self.head.weight.unflatten(0, (self.per_step, -1))  # (P × (N + 1), D) -> (P, N + 1, D)

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Embed tokens (B, T) at positions ``first`` and following as (B, T, D)."""
        places = torch.arange(first, first + tokens.shape[1], device=tokens.device)
        own = tokens + (places % self.per_step) * self.config.bins  # separate embeddings per dimension
        shared = torch.where(tokens == self.stop, self.config.bins * self.per_step, own)
        out: Tensor = self.embed_token(shared) + self.embed_place[places]  # (B, T, D) + (T, D)
        return out

    def stream(self, batch_size: int, generator: torch.Generator) -> TrajectoryStream:
        """Start planning inference, which replans at each step."""
        return TrajectoryStream(self, batch_size, generator)

    def _numbers(self, episodes: Episodes, normalization: Normalization) -> FloatArray:
        return step_numbers(episodes, normalization, self.config.discount, self.config.end_reward)

    def _weights(self, device: torch.device) -> Tensor:
        """Loss weight (P,) of each dimension."""
        weights = torch.ones(self.per_step, device=device)
        first = self.spaces.observation_size
        weights[first : first + self.action_tokens] = self.config.action_weight
        return weights

    def _mask(self, tokens: int) -> Tensor:
        """Causal attention mask (1, 1, T, T) that excludes value tokens."""
        earlier = torch.ones(tokens, tokens, dtype=torch.bool).tril()
        values = torch.arange(tokens) % self.per_step == self.per_step - 1
        return (earlier & ~values)[None, None]


class TrajectoryStream(Stream):
    """Inference of a Trajectory Transformer, which executes the first action of a new plan at each step."""

    def __init__(self, model: TrajectoryTransformer, batch_size: int, generator: torch.Generator) -> None:
        """Start ``batch_size`` parallel episodes."""
        self._model, self._generator, self._plan = model, generator, model.config.plan
        self._steps = model.head.weight.new_zeros(
            batch_size, 0, model.per_step, dtype=torch.int64
        )  # (B, c, P)

    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """Plan, and return the first actions of the best plans."""
        model, observed = self._model, self._model.spaces.observation_size
        if timestep:
            rewarded = model.discretizer.encode(reward[:, None], first=model.per_step - 2)
            self._steps[:, -1, -2:-1] = rewarded  # the value is masked, so it stays as planned
        self._steps = self._steps[:, max(self._steps.shape[1] - self._plan.context, 0) :]
        now = model.discretizer.encode(observation)  # (B, obs)
        history = torch.cat([self._steps.flatten(1), now], dim=1)  # (B, c × P + obs)
        best = search(model, history, self._plan, model.config.discount, self._generator)
        self._steps = torch.cat([self._steps, best.tokens[:, :1]], dim=1)  # (B, c + 1, P)
        self._steps[:, -1, :observed] = now
        actions = model.discretizer.decode(best.tokens[:, 0, observed:-2], first=observed)  # (B, act)
        return actions if model.spaces.continuous else actions[:, 0].long()
