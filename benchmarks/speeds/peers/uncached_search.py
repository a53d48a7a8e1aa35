"""The Trajectory Transformer authors' beam search, without a key-value cache.

Reimplemented from github.com/jannerm/trajectory-transformer, ``trajectory/search/core.py``: each token takes
a forward pass over all tokens of all candidates, and plans beyond the training window drop their first steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dt.models.trajectory import TrajectoryTransformer
from dt.planning.beam import PlanConfig, filter_logits


class UncachedSearch:
    """Beam search for one episode."""

    def __init__(self, model: TrajectoryTransformer, config: PlanConfig, generator: torch.Generator) -> None:
        self.model, self.config, self.generator = model, config, generator

    @torch.inference_mode()
    def best(self, history: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens of the best plan and its predicted return.

        Args:
            history: (1, T) tokens, the last ones of the current observation.
        """
        model, config = self.model, self.config
        rows = history.repeat(config.beam_width, 1)  # (W, T)
        rewards = torch.zeros(config.beam_width, config.horizon + 1)
        discounts = model.config.discount ** torch.arange(config.horizon + 1)
        for step in range(config.horizon):
            rows, rewards = (one.repeat(config.expansions, 1) for one in (rows, rewards))  # (W × X, …)
            for _ in range(model.action_tokens):
                logits = filter_logits(self._next(rows)[:, :-1], config.action_share, config.top_actions)
                drawn = torch.multinomial(logits.softmax(dim=1), 1, generator=self.generator)
                rows = torch.cat([rows, drawn], dim=1)
            for slot, dimension in ((step, -2), (step + 1, -1)):
                logits = self._next(rows)
                rewards[:, slot] = logits.softmax(dim=1)[:, :-1] @ model.discretizer.values[dimension]
                rows = torch.cat([rows, logits.argmax(dim=1, keepdim=True)], dim=1)
            worth, kept = (rewards * discounts).sum(dim=1).topk(config.beam_width)
            rows, rewards = rows[kept], rewards[kept]
            if step < config.horizon - 1:
                for _ in range(model.spaces.observation_size):
                    rows = torch.cat([rows, self._next(rows).argmax(dim=1, keepdim=True)], dim=1)
        return rows[0, history.shape[1] :], worth[0]

    def _next(self, rows: Tensor) -> Tensor:
        """Logits (R, N + 1) of the next token of rows (R, T)."""
        steps = -(-(rows.shape[1] + 1) // self.model.per_step)  # with the next one
        dropped = max(steps - self.model.window, 0) * self.model.per_step
        return self.model.logits(rows[:, dropped:])[:, -1]
