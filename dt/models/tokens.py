"""Token embeddings of windows and of single steps for Decision Transformers and Reinformer."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dt.data.source import Spaces
from dt.data.windows import Batch
from dt.models.gpt import initialize

LAST = slice(-1, None)


class Tokens(nn.Module, ABC):
    """Embedding of returns-to-go, observations, actions and timesteps as tokens.

    The tokens that an action is predicted from never include that action.
    """

    per_step: int  # tokens per step
    kinds: tuple[str, ...]  # names of a step's tokens
    steps_read: int  # number of steps whose data enter the tokens of one step
    read: slice  # positions in a window from which actions are predicted
    relative_steps: tuple[int, ...]  # of the tokens of ``next``: 0 for the current step, −1 for the previous

    def __init__(self, width: int, spaces: Spaces) -> None:
        super().__init__()
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = nn.Linear(spaces.observation_size, width)
        self.embed_action = (nn.Linear if spaces.continuous else nn.Embedding)(spaces.action_size, width)
        self.embed_timestep = nn.Embedding(spaces.max_episode_steps, width)
        # PyTorch's default normal(0, 1) dominates the other inputs: the target was then ignored for long
        # (measured)
        self.embed_timestep.apply(initialize)
        self.norm = nn.LayerNorm(width)

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Embed a window as tokens (B, T, D)."""

    def times(self) -> list[Tensor]:
        """Timestep embeddings (n, D) of the tokens of ``next``, for each step of an episode."""
        steps = torch.arange(self.embed_timestep.num_embeddings, device=self.embed_timestep.weight.device)
        relative = torch.tensor(self.relative_steps, device=steps.device)  # (n,)
        return list(self.embed_timestep((steps[:, None] + relative).clamp(min=0)))  # (T, n) -> T × (n, D)

    @abstractmethod
    def next(self, observation: Tensor, return_to_go: Tensor, action: Tensor | None, time: Tensor) -> Tensor:
        """Embed the tokens (B, n, D) that one step appends to those of earlier steps.

        Args:
            observation: (B, obs) of this step.
            return_to_go: (B,) of this step.
            action: (B, act) or (B,) of the previous step, None at the first step of an episode.
            time: (n, D) of this step, from ``times``.
        """

    @abstractmethod
    def valid(self, steps: Tensor) -> Tensor:
        """Mask (B, T) of the tokens that belong to valid ``steps`` (B, K)."""


class InterleavedTokens(Tokens):
    """Separate tokens for return-to-go, observation and action (Chen et al., 2021).

    ::

        R̂₀  s₀  a₀  R̂₁  s₁  a₁  …  R̂ₖ  sₖ      actions read at each s; the last action is omitted
    """

    per_step = 3
    kinds = ("return", "observation", "action")
    steps_read = 1
    read = slice(1, None, 3)
    relative_steps = (-1, 0, 0)

    def forward(self, batch: Batch) -> Tensor:
        """Embed a window as tokens (B, 3K − 1, D)."""
        returns = self.embed_return(batch.returns_to_go[:, :, None])  # (B, K) -> (B, K, 1) -> (B, K, D)
        inputs = self._ordered(returns, self.embed_observation(batch.observations))
        embedded = torch.stack([*inputs, self.embed_action(batch.actions)], dim=2)  # (B, K, 3, D)
        timed = embedded + self.embed_timestep(batch.timesteps)[:, :, None]  # + (B, K, 1, D)
        out: Tensor = self.norm(timed.flatten(1, 2)[:, :-1])  # (B, K, 3, D) -> (B, 3K, D) -> (B, 3K − 1, D)
        return out

    def next(self, observation: Tensor, return_to_go: Tensor, action: Tensor | None, time: Tensor) -> Tensor:
        """Embed the previous action, the return-to-go and the observation, (B, 3, D)."""
        returns, observed = self.embed_return(return_to_go[:, None]), self.embed_observation(observation)
        previous = returns if action is None else self.embed_action(action)  # the placeholder is masked
        tokens = torch.stack((previous, *self._ordered(returns, observed)), dim=1)  # 3 × (B, D) -> (B, 3, D)
        out: Tensor = self.norm(tokens + time)
        return out

    def _ordered(self, returns: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of return-to-go and observation in token order."""
        return returns, observed

    def valid(self, steps: Tensor) -> Tensor:
        """Mask (B, 3K − 1) of the tokens that belong to valid ``steps`` (B, K)."""
        return steps.repeat_interleave(3, dim=1)[:, :-1]


class StateFirstTokens(InterleavedTokens):
    """Tokens with the observation before the return-to-go, which is predicted from it (Zhuang et al., 2024).

    ::

        s₀  R̂₀  a₀  s₁  R̂₁  a₁  …  sₖ  R̂ₖ      returns read at each s, actions at each R̂
    """

    kinds = ("observation", "return", "action")
    read_returns = slice(0, None, 3)

    def _ordered(self, returns: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        return observed, returns


class SummedTokens(Tokens):
    """One token per step: the sum of the embeddings of return-to-go, observation and previous action.

    Implementations that sum a step's own action, without a causal mask, leak the prediction target.
    """

    per_step = 1
    kinds = ("step",)
    steps_read = 2
    read = slice(None)
    relative_steps = (0,)

    def __init__(self, width: int, spaces: Spaces) -> None:
        super().__init__(width, spaces)
        self.no_action = nn.Parameter(torch.zeros(width))  # before a window's first step

    def forward(self, batch: Batch) -> Tensor:
        """Embed a window as tokens (B, K, D)."""
        earlier = self.embed_action(batch.actions[:, :-1])  # (B, K − 1, D)
        follows = batch.valid[:, :-1, None]  # (B, K − 1) -> (B, K − 1, 1): not after padding
        none = self.no_action.expand(len(earlier), 1, -1)  # (D,) -> (B, 1, D)
        before = torch.cat([none, torch.where(follows, earlier, self.no_action)], dim=1)  # (B, K, D)
        return self._sum(
            batch.observations, batch.returns_to_go, before, self.embed_timestep(batch.timesteps)
        )

    def next(self, observation: Tensor, return_to_go: Tensor, action: Tensor | None, time: Tensor) -> Tensor:
        """Embed one step as one token, (B, 1, D)."""
        before = self.no_action if action is None else self.embed_action(action)
        return self._sum(observation, return_to_go, before, time)[:, None]  # (B, D) -> (B, 1, D)

    def _sum(self, observations: Tensor, returns_to_go: Tensor, before: Tensor, times: Tensor) -> Tensor:
        returns = self.embed_return(returns_to_go[..., None])  # (…,) -> (…, 1) -> (…, D)
        out: Tensor = self.norm(self.embed_observation(observations) + returns + before + times)
        return out

    def valid(self, steps: Tensor) -> Tensor:
        """Mask of the valid tokens, which equals ``steps``."""
        return steps


TOKENS: dict[str, type[Tokens]] = {"interleaved": InterleavedTokens, "summed": SummedTokens}
