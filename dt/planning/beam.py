"""Beam search for plans of high return (Janner et al., 2021, algorithm 1), for many episodes at once.

At each step every plan is continued by some actions that the model finds likely, with the most likely reward
and value; those plans are kept whose mean rewards so far and mean value promise most. The rules are those of
github.com/jannerm/trajectory-transformer, ``trajectory/search/core.py``, which computes every token anew and
drops the oldest steps of a long plan; here keys and values are kept, and so is every step.
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
    """How a plan is searched for; the defaults are the authors' for the gym tasks, with a narrower beam.

    Raises:
        InputError: if a value is not possible.
    """

    horizon: int = 15  # steps that are planned
    beam_width: int = 32  # plans that are kept after each step
    expansions: int = 2  # actions that are drawn for each plan
    context: int = 5  # steps before now that are looked at
    action_share: float | None = 0.6  # of the probability, that of the least likely actions, is not drawn
    top_actions: int | None = None  # only so many of the likeliest tokens are drawn

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
    """A model of trajectories whose every number is a token: P a step, N values each, and a stop token."""

    spaces: Spaces
    per_step: int  # P
    action_tokens: int  # of them
    discretizer: Discretizer
    transformer: Transformer
    mask: Tensor  # (1, 1, T, T) bool, who may look at whom

    @property
    def heads(self) -> Tensor:
        """The weights (P, N + 1, D) that make logits of the next token, by the place in a step."""
        ...

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        """What the transformer sees (B, T, D) of tokens (B, T) at the places from ``first`` on."""
        ...


class Plans(NamedTuple):
    """The best plan of each of E episodes."""

    tokens: Tensor  # (E, horizon, P) int64; observations after the last step are not planned
    worth: Tensor  # (E,) discounted rewards and value


@torch.inference_mode()
def search(
    model: TokenModel, history: Tensor, config: PlanConfig, discount: float, generator: torch.Generator
) -> Plans:
    """The best plan for each of E episodes.

    Args:
        model: what plans are judged by.
        history: (E, T) tokens, the last ones the observation of now.
        config: how to search.
        discount: of the reward a step later.
        generator: draws the actions.
    """
    return _Search(model, history, config, discount, generator).run()


class _Search:
    """A search: W plans of each of E episodes, all of them in rows."""

    def __init__(
        self,
        model: TokenModel,
        history: Tensor,
        config: PlanConfig,
        discount: float,
        generator: torch.Generator,
    ) -> None:
        self.model, self.config, self.generator = model, config, generator
        self.episodes, self.place = history.shape  # the next token's place
        self.layers = [BeamLayer(block) for block in model.transformer.blocks]
        self.rows = self.episodes * config.beam_width
        hidden = self._root(history)  # (E, N + 1)
        self.logits = hidden.repeat_interleave(config.beam_width, dim=0)  # of the next token, (E × W, N + 1)
        steps = self.config.horizon
        self.plans = history.new_zeros(self.rows, steps, model.per_step)
        self.rewards = torch.zeros(self.rows, steps + 1, device=history.device)  # the value after the last
        self.discounts = discount ** torch.arange(steps + 1, device=history.device)
        self.names = self.plans.new_zeros(self.rows)  # equal plans have equal ones

    def run(self) -> Plans:
        """Plan step by step."""
        horizon, first = self.config.horizon, self.model.spaces.observation_size
        for step in range(horizon):
            if step:
                self._append(self.plans[:, step - 1, -1:])  # the value, which opens the next step
                self.plans[:, step, :first] = self._likeliest(first)
            worth = self._continue(step)
        best = worth.argmax(dim=1) + torch.arange(self.episodes, device=worth.device) * worth.shape[1]
        return Plans(self.plans[best], worth.amax(dim=1))

    def _continue(self, step: int) -> Tensor:
        """Continue every plan by some actions, and keep the best: their worth, (E, W)."""
        config, model = self.config, self.model
        self._branch()
        drawn = [self._draw() for _ in range(model.action_tokens)]
        reward, expected = self._filter_logits()
        self._append(reward)
        value, promised = self._filter_logits()
        first = model.spaces.observation_size
        self.plans[:, step, first:] = torch.cat([*drawn, reward, value], dim=1)  # (R, P − first)
        self.rewards[:, step], self.rewards[:, step + 1] = expected, promised
        worth = (self.rewards * self.discounts).sum(dim=1).view(self.episodes, -1)  # (R,) -> (E, W × X)
        first_alike = self._first_alike(torch.cat(drawn, dim=1))
        worth = worth.masked_fill(first_alike < torch.arange(worth.shape[1], device=worth.device), -torch.inf)
        kept, twigs = worth.topk(config.beam_width, dim=1)  # each (E, W)
        offset = torch.arange(self.episodes, device=twigs.device)[:, None] * worth.shape[1]
        self.names = first_alike.gather(1, twigs).flatten()  # (E, W) -> (E × W,)
        self._keep((twigs + offset).flatten())  # (E, W) -> (E × W,)
        return kept

    def _first_alike(self, actions: Tensor) -> Tensor:
        """The first continuation (E, W × X) that goes on from an equal plan by equal ``actions`` (R, A).

        Copies would crowd other plans out.
        """
        names = self.names.repeat_interleave(self.config.expansions)  # (E × W,) -> (R,)
        told = torch.cat([names[:, None], actions], dim=1).view(self.episodes, -1, 1 + actions.shape[1])
        alike = (told[:, :, None] == told[:, None]).all(dim=3)  # (E, W × X, W × X)
        return alike.int().argmax(dim=2)

    def _branch(self) -> None:
        """A row for each continuation."""
        times = self.config.expansions
        for layer in self.layers:
            layer.branch(times)
        self.plans, self.rewards, self.logits = (
            tensor.repeat_interleave(times, dim=0) for tensor in (self.plans, self.rewards, self.logits)
        )

    def _keep(self, twigs: Tensor) -> None:
        """Only these continuations, as plans."""
        for layer in self.layers:
            layer.keep(twigs // self.config.expansions, twigs % self.config.expansions)
        self.plans, self.rewards = self.plans[twigs], self.rewards[twigs]

    def _draw(self) -> Tensor:
        """A likely token (R, 1) for each row, by chance; the stop token is no action."""
        logits = filter_logits(self.logits[:, :-1], self.config.action_share, self.config.top_actions)
        token = torch.multinomial(logits.softmax(dim=1), 1, generator=self.generator)
        self._append(token)
        return token

    def _filter_logits(self) -> tuple[Tensor, Tensor]:
        """The likeliest token (R, 1) for each row, and the mean (R,) of what tokens stand for."""
        dimension = self.place % self.model.per_step
        shares = self.logits.softmax(dim=1)[:, :-1]  # the stop token is worth nothing
        mean = shares @ self.model.discretizer.values[dimension]  # (R, N) @ (N,)
        return self.logits.argmax(dim=1, keepdim=True), mean

    def _likeliest(self, count: int) -> Tensor:
        """The likeliest tokens (R, count), one after another."""
        tokens = []
        for _ in range(count):
            tokens.append(self.logits.argmax(dim=1, keepdim=True))
            self._append(tokens[-1])
        return torch.cat(tokens, dim=1)

    def _root(self, history: Tensor) -> Tensor:
        """Logits (E, N + 1) of the token after the history, whose keys and values are kept."""
        model, count = self.model, history.shape[1]
        mask = model.mask[:, :, :count, :count]
        hidden = model.embed(history)
        room = self.config.horizon * model.per_step + self.config.expansions * (model.action_tokens + 1)
        for layer in self.layers:
            hidden = layer.root(hidden, mask, mask[0, 0, -1], self.config.beam_width, room)
        return self._read(hidden[:, -1], count - 1)

    def _append(self, token: Tensor) -> None:
        """Go on by a token (R, 1) in each row; its logits are those of the next one."""
        embedded = self.model.embed(token, self.place)  # (R, 1, D)
        hidden = embedded.view(self.rows, -1, embedded.shape[2])  # -> (E × W, X, D)
        is_value = self.place % self.model.per_step == self.model.per_step - 1
        for layer in self.layers:
            hidden = layer.advance(hidden, keep=not is_value)
        self.logits = self._read(hidden.flatten(0, 1), self.place)  # (E × W, X, D) -> (R, D)
        self.place += 1

    def _read(self, hidden: Tensor, place: int) -> Tensor:
        features = self.model.transformer.final_norm(hidden)  # (R, D)
        return features @ self.model.heads[place % self.model.per_step].T  # (R, D) @ (D, N + 1)


def filter_logits(logits: Tensor, share: float | None, top: int | None) -> Tensor:
    """The same logits (R, N), −∞ for the least likely tokens.

    Args:
        logits: of tokens.
        share: of the probability, that the least likely tokens have together, goes; the likeliest one stays.
        top: so many of the likeliest stay.
    """
    if share is not None:
        ascending, order = logits.softmax(dim=1).sort(dim=1)
        goes = ascending.cumsum(dim=1) < share
        goes[:, -1] = False
        logits = logits.masked_fill(torch.zeros_like(goes).scatter(1, order, goes), -torch.inf)
    if top is not None:
        lowest = logits.topk(min(top, logits.shape[1]), dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    return logits
