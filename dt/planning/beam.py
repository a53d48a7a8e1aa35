"""Beam search for plans of high return (Janner et al., 2021, algorithm 1), batched over episodes.

At each step, every plan is expanded into candidates with sampled actions and the most likely reward and
value. The beam keeps the candidates of highest score: the discounted expected rewards plus the expected
value. The algorithm is that of github.com/jannerm/trajectory-transformer, ``trajectory/search/core.py``,
which recomputes all tokens and drops the oldest steps of a long plan; here a key–value cache holds all steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from cartpole_phys.utils.errors import InputError
from dt.data.discretizer import Discretizer
from dt.data.source import Spaces
from dt.models.gpt import Transformer
from dt.models.kv_cache import BeamLayer


@dataclass(frozen=True)
class PlanConfig:
    """Beam-search settings; the defaults are the authors' for the Gym tasks, with a narrower beam.

    Raises:
        InputError: if a value is out of range.
    """

    horizon: int = 15  # planned steps
    beam_width: int = 32  # plans kept after each step
    expansions: int = 2  # actions sampled per plan
    context: int = 5  # past steps in the history
    action_share: float | None = 0.6  # probability mass of the least likely action tokens, not sampled
    top_actions: int | None = None  # top-k: number of most likely tokens to sample from

    def __post_init__(self) -> None:
        top_actions = 1 if self.top_actions is None else self.top_actions
        counts = (self.horizon, self.beam_width, self.expansions, top_actions)
        if min(counts) < 1 or self.context < 0:
            raise InputError(
                "Expected horizon, beam_width, expansions and top_actions of at least 1 and context of at "
                f"least 0, got {self.horizon}, {self.beam_width}, {self.expansions}, {self.top_actions} and "
                f"{self.context}."
            )
        if self.action_share is not None and not 0.0 <= self.action_share < 1.0:
            raise InputError(f"Expected 0 <= action_share < 1, got {self.action_share}.")


class TokenModel(Protocol):
    """Autoregressive model of trajectories with P tokens per step, N bins each, and a stop token."""

    spaces: Spaces
    per_step: int  # P
    action_tokens: int  # action tokens per step
    discretizer: Discretizer
    transformer: Transformer
    mask: Tensor  # (1, 1, T, T) bool attention mask

    @property
    def heads(self) -> Tensor:
        """Output weights (P, N + 1, D) for the logits of the next token, by position in a step."""

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Embed tokens (B, T) at positions ``first`` and following as (B, T, D)."""


class Plans(NamedTuple):
    """The best plan of each of E episodes."""

    tokens: Tensor  # (E, horizon, P) int64; observations after the last step are not planned
    score: Tensor  # (E,) discounted expected rewards plus value


@torch.inference_mode()
def search(
    model: TokenModel, history: Tensor, config: PlanConfig, discount: float, generator: torch.Generator
) -> Plans:
    """Find the plan of highest score for each of E episodes.

    Args:
        model: trajectory model.
        history: (E, T) tokens, ending with the current observation.
        config: search settings.
        discount: discount factor γ.
        generator: random generator of the sampled actions.
    """
    return _Search(model, history, config, discount, generator).run()


class _Search:
    """State of a beam search: W plans of each of E episodes, flattened to rows."""

    def __init__(
        self,
        model: TokenModel,
        history: Tensor,
        config: PlanConfig,
        discount: float,
        generator: torch.Generator,
    ) -> None:
        self.model, self.config, self.generator = model, config, generator
        self.episodes, self.position = history.shape  # the next token's position
        self.layers = [BeamLayer(block) for block in model.transformer.blocks]
        self.rows = self.episodes * config.beam_width
        hidden = self._root(history)  # (E, N + 1)
        self.logits = hidden.repeat_interleave(config.beam_width, dim=0)  # of the next token, (E × W, N + 1)
        steps = self.config.horizon
        self.plans = history.new_zeros(self.rows, steps, model.per_step)
        self.rewards = torch.zeros(self.rows, steps + 1, device=history.device)  # and the final value
        self.discounts = discount ** torch.arange(steps + 1, device=history.device)
        self.plan_ids = self.plans.new_zeros(self.rows)  # equal for equal plans

    def run(self) -> Plans:
        """Search step by step up to the horizon."""
        horizon, first = self.config.horizon, self.model.spaces.observation_size
        for step in range(horizon):
            if step:
                self._append(self.plans[:, step - 1, -1:])  # the value, followed by the next observation
                self.plans[:, step, :first] = self._greedy(first)
            score = self._expand(step)
        best = score.argmax(dim=1) + torch.arange(self.episodes, device=score.device) * score.shape[1]
        return Plans(self.plans[best], score.amax(dim=1))

    def _expand(self, step: int) -> Tensor:
        """Expand every plan by sampled actions, keep the best candidates, and return their scores (E, W)."""
        config, model = self.config, self.model
        self._branch()
        sampled = [self._sample() for _ in range(model.action_tokens)]
        reward, expected = self._greedy_and_mean()
        self._append(reward)
        value, expected_value = self._greedy_and_mean()
        first = model.spaces.observation_size
        self.plans[:, step, first:] = torch.cat([*sampled, reward, value], dim=1)  # (R, P − first)
        self.rewards[:, step], self.rewards[:, step + 1] = expected, expected_value
        score = (self.rewards * self.discounts).sum(dim=1).view(self.episodes, -1)  # (R,) -> (E, W × X)
        first_duplicates = self._first_duplicates(torch.cat(sampled, dim=1))
        score = score.masked_fill(
            first_duplicates < torch.arange(score.shape[1], device=score.device), -torch.inf
        )
        kept, candidates = score.topk(config.beam_width, dim=1)  # each (E, W)
        offset = torch.arange(self.episodes, device=candidates.device)[:, None] * score.shape[1]
        self.plan_ids = first_duplicates.gather(1, candidates).flatten()  # (E, W) -> (E × W,)
        self._keep((candidates + offset).flatten())  # (E, W) -> (E × W,)
        return kept

    def _first_duplicates(self, actions: Tensor) -> Tensor:
        """Index (E, W × X) of the first candidate with an equal plan and equal ``actions`` (R, A).

        Without deduplication, copies would displace other plans from the beam.
        """
        plan_ids = self.plan_ids.repeat_interleave(self.config.expansions)  # (E × W,) -> (R,)
        keys = torch.cat([plan_ids[:, None], actions], dim=1).view(self.episodes, -1, 1 + actions.shape[1])
        equal = (keys[:, :, None] == keys[:, None]).all(dim=3)  # (E, W × X, W × X)
        return equal.int().argmax(dim=2)

    def _branch(self) -> None:
        """Repeat rows, one per candidate."""
        times = self.config.expansions
        for layer in self.layers:
            layer.branch(times)
        self.plans, self.rewards, self.logits = (
            tensor.repeat_interleave(times, dim=0) for tensor in (self.plans, self.rewards, self.logits)
        )

    def _keep(self, candidates: Tensor) -> None:
        """Keep only these candidates, as plans."""
        for layer in self.layers:
            layer.keep(candidates // self.config.expansions, candidates % self.config.expansions)
        self.plans, self.rewards = self.plans[candidates], self.rewards[candidates]

    def _sample(self) -> Tensor:
        """Sample an action token (R, 1) for each row, never the stop token."""
        logits = filter_logits(self.logits[:, :-1], self.config.action_share, self.config.top_actions)
        token = torch.multinomial(logits.softmax(dim=1), 1, generator=self.generator)
        self._append(token)
        return token

    def _greedy_and_mean(self) -> tuple[Tensor, Tensor]:
        """Return the most likely token (R, 1) and the expected decoded value (R,) for each row."""
        dimension = self.position % self.model.per_step
        probabilities = self.logits.softmax(dim=1)[:, :-1]  # the stop token has value 0
        mean = probabilities @ self.model.discretizer.values[dimension]  # (R, N) @ (N,)
        return self.logits.argmax(dim=1, keepdim=True), mean

    def _greedy(self, count: int) -> Tensor:
        """Decode ``count`` tokens (R, count) greedily."""
        tokens = []
        for _ in range(count):
            tokens.append(self.logits.argmax(dim=1, keepdim=True))
            self._append(tokens[-1])
        return torch.cat(tokens, dim=1)

    def _root(self, history: Tensor) -> Tensor:
        """Cache keys and values of the history, and return the logits (E, N + 1) of the next token."""
        model, count = self.model, history.shape[1]
        mask = model.mask[:, :, :count, :count]
        hidden = model.embed(history)
        room = self.config.horizon * model.per_step + self.config.expansions * (model.action_tokens + 1)
        for layer in self.layers:
            hidden = layer.root(hidden, mask, mask[0, 0, -1], self.config.beam_width, room)
        return self._read(hidden[:, -1], count - 1)

    def _append(self, token: Tensor) -> None:
        """Append a token (R, 1) to each row, and compute the logits of the next one."""
        embedded = self.model.embed(token, self.position)  # (R, 1, D)
        hidden = embedded.view(self.rows, -1, embedded.shape[2])  # -> (E × W, X, D)
        is_value = self.position % self.model.per_step == self.model.per_step - 1
        for layer in self.layers:
            hidden = layer.advance(hidden, keep=not is_value)
        self.logits = self._read(hidden.flatten(0, 1), self.position)  # (E × W, X, D) -> (R, D)
        self.position += 1

    def _read(self, hidden: Tensor, position: int) -> Tensor:
        features = self.model.transformer.final_norm(hidden)  # (R, D)
        return features @ self.model.heads[position % self.model.per_step].T  # (R, D) @ (D, N + 1)


def filter_logits(logits: Tensor, share: float | None, top: int | None) -> Tensor:
    """Mask the least likely tokens of logits (R, N) with −∞, as in nucleus and top-k sampling.

    Args:
        logits: (R, N).
        share: probability mass of the least likely tokens to mask; the most likely token always stays.
        top: number of most likely tokens to keep.
    """
    if share is not None:
        ascending, order = logits.softmax(dim=1).sort(dim=1)
        masked = ascending.cumsum(dim=1) < share
        masked[:, -1] = False
        logits = logits.masked_fill(torch.zeros_like(masked).scatter(1, order, masked), -torch.inf)
    if top is not None:
        lowest = logits.topk(min(top, logits.shape[1]), dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    return logits
