"""How a window of steps becomes tokens, and how the next step continues them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dt.data.source import Spaces
from dt.data.windows import Batch
from dt.models.gpt import initialize

LAST = slice(-1, None)


class Tokens(nn.Module, ABC):
    """Embeds returns-to-go, observations, actions and times; what is read has not seen its own action."""

    per_step: int  # tokens
    kinds: tuple[str, ...]  # of a step's tokens, in words
    steps_read: int  # by the tokens of one step
    read: slice  # the tokens of a window that actions are predicted from
    relative_steps: tuple[int, ...]  # of the tokens of ``next``: 0 for the step itself, −1 for the one before

    def __init__(self, width: int, spaces: Spaces) -> None:
        super().__init__()
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = nn.Linear(spaces.observation_size, width)
        self.embed_action = (nn.Linear if spaces.continuous else nn.Embedding)(spaces.action_size, width)
        self.embed_timestep = nn.Embedding(spaces.max_episode_steps, width)
        # PyTorch's normal(0, 1) would drown the other inputs: measured, the target was then ignored for long
        self.embed_timestep.apply(initialize)
        self.norm = nn.LayerNorm(width)

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The tokens (B, T, D) of a window."""

    def times(self) -> list[Tensor]:
        """What ``next`` adds for the time at each step, (n, D)."""
        steps = torch.arange(self.embed_timestep.num_embeddings, device=self.embed_timestep.weight.device)
        relative = torch.tensor(self.relative_steps, device=steps.device)  # (n,)
        return list(self.embed_timestep((steps[:, None] + relative).clamp(min=0)))  # (T, n) -> T × (n, D)

    @abstractmethod
    def next(self, observation: Tensor, return_to_go: Tensor, action: Tensor | None, time: Tensor) -> Tensor:
        """The tokens (B, n, D) that one step adds to those of all earlier ones.

        Args:
            observation: (B, obs) of this step.
            return_to_go: (B,) of this step.
            action: (B, act) or (B,) of the step before, None at an episode's first one.
            time: (n, D) of this step, from ``times``.
        """

    @abstractmethod
    def valid(self, steps: Tensor) -> Tensor:
        """Which tokens (B, T) belong to valid ``steps`` (B, K)."""


class InterleavedTokens(Tokens):
    """Return-to-go, observation and action are tokens of their own (Chen et al., 2021).

    ::

        R̂₀  s₀  a₀  R̂₁  s₁  a₁  …  R̂ₖ  sₖ      read at each s; the last action is left out
    """

    per_step = 3
    kinds = ("return", "observation", "action")
    steps_read = 1
    read = slice(1, None, 3)
    relative_steps = (-1, 0, 0)

    def forward(self, batch: Batch) -> Tensor:
        """The tokens (B, 3K − 1, D) of a window."""
        wanted = self.embed_return(batch.returns_to_go[:, :, None])  # (B, K) -> (B, K, 1) -> (B, K, D)
        inputs = self._ordered(wanted, self.embed_observation(batch.observations))
        embedded = torch.stack([*inputs, self.embed_action(batch.actions)], dim=2)  # (B, K, 3, D)
        timed = embedded + self.embed_timestep(batch.timesteps)[:, :, None]  # + (B, K, 1, D)
        out: Tensor = self.norm(timed.flatten(1, 2)[:, :-1])  # (B, K, 3, D) -> (B, 3K, D) -> (B, 3K − 1, D)
        return out

    def next(self, observation: Tensor, return_to_go: Tensor, action: Tensor | None, time: Tensor) -> Tensor:
        """The action before, the return-to-go and the observation, (B, 3, D)."""
        wanted, seen = self.embed_return(return_to_go[:, None]), self.embed_observation(observation)
        done = wanted if action is None else self.embed_action(action)  # nobody looks at what stands for none
        tokens = torch.stack((done, *self._ordered(wanted, seen)), dim=1)  # 3 × (B, D) -> (B, 3, D)
        out: Tensor = self.norm(tokens + time)
        return out

    def _ordered(self, wanted: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return-to-go and observation in the order of their tokens."""
        return wanted, seen

    def valid(self, steps: Tensor) -> Tensor:
        """Which tokens (B, 3K − 1) belong to valid ``steps`` (B, K)."""
        return steps.repeat_interleave(3, dim=1)[:, :-1]


class StateFirstTokens(InterleavedTokens):
    """The observation comes before the return-to-go, which can be predicted from it (Zhuang et al., 2024).

    ::

        s₀  R̂₀  a₀  s₁  R̂₁  a₁  …  sₖ  R̂ₖ      returns read at each s, actions at each R̂
    """

    kinds = ("observation", "return", "action")
    read_returns = slice(0, None, 3)

    def _ordered(self, wanted: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        return seen, wanted


class SummedTokens(Tokens):
    """One token a step: the sum of its return-to-go, its observation and the action before.

    Where that sum holds a step's own action and nothing is masked, as it is sometimes wired, a network can
    read what it is asked for.
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
        """The tokens (B, K, D) of a window."""
        earlier = self.embed_action(batch.actions[:, :-1])  # (B, K − 1, D)
        follows = batch.valid[:, :-1, None]  # (B, K − 1) -> (B, K − 1, 1): not after padding
        none = self.no_action.expand(len(earlier), 1, -1)  # (D,) -> (B, 1, D)
        before = torch.cat([none, torch.where(follows, earlier, self.no_action)], dim=1)  # (B, K, D)
        return self._sum(
            batch.observations, batch.returns_to_go, before, self.embed_timestep(batch.timesteps)
        )

    def next(self, observation: Tensor, return_to_go: Tensor, action: Tensor | None, time: Tensor) -> Tensor:
        """One token, (B, 1, D)."""
        before = self.no_action if action is None else self.embed_action(action)
        return self._sum(observation, return_to_go, before, time)[:, None]  # (B, D) -> (B, 1, D)

    def _sum(self, observations: Tensor, returns_to_go: Tensor, before: Tensor, times: Tensor) -> Tensor:
        returns = self.embed_return(returns_to_go[..., None])  # (…,) -> (…, 1) -> (…, D)
        out: Tensor = self.norm(self.embed_observation(observations) + returns + before + times)
        return out

    def valid(self, steps: Tensor) -> Tensor:
        """The same: a token is a step."""
        return steps


TOKENS: dict[str, type[Tokens]] = {"interleaved": InterleavedTokens, "summed": SummedTokens}
