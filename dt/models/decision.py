"""Decision Transformer (Chen et al., 2021): actions as what the wanted return and the history call for."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError
from dt.data.source import Spaces
from dt.data.windows import Batch
from dt.models.base import ActionHead, Stream
from dt.models.gpt import Transformer, TransformerConfig, causal_mask
from dt.models.history import HistoryModel
from dt.models.kv_cache import RingBufferLayer, ring_masks, ring_slots
from dt.models.tokens import LAST, TOKENS


@dataclass(frozen=True)
class DecisionConfig:
    """Shape of a Decision Transformer; the defaults are the authors' for the gym tasks.

    Raises:
        InputError: if a value is not possible.
    """

    context: int = 20  # steps of a training window, and of what is seen when acting
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    tokens: str = "interleaved"  # return, observation and action apart, or "summed": one token a step
    # Steps that a token may look back, its own included, so that acting can keep keys and values; None: the
    # whole context, which is cut off behind and must be looked at anew at each step.
    attention_window: int | None = None

    def __post_init__(self) -> None:
        if self.context < 1:
            raise InputError(f"Expected a context of at least 1 step, got {self.context}.")
        if self.tokens not in TOKENS:
            raise unknown("tokens", self.tokens, TOKENS)
        if self.attention_window is not None and not 1 <= self.attention_window <= self.context:
            raise InputError(
                f"Expected an attention window of 1 to {self.context} steps, the context, got "
                f"{self.attention_window}."
            )


class DecisionTransformer(HistoryModel):
    """Predicts each action from the return still wanted, the time, and what was seen and done so far."""

    return_conditioned = True

    def __init__(self, config: DecisionConfig, spaces: Spaces) -> None:
        super().__init__()
        width = config.transformer.width
        self.config, self.spaces, self.window = config, spaces, config.context
        self.tokens = TOKENS[config.tokens](width, spaces)
        self.context = config.context
        if config.attention_window is not None:  # what a feature of the last layer depends on
            self.context = config.transformer.layers * (config.attention_window - 1) + self.tokens.steps_read
        self.transformer = Transformer(config.transformer)
        self.head = ActionHead(width, spaces)

    def loss(self, batch: Batch) -> Tensor:
        """Mean error of the predicted actions over the steps that are not padding."""
        return self.head.loss(self.features(batch), batch.actions, batch.valid)

    def act(self, history: Batch) -> Tensor:
        """The action for the last step."""
        return self.head.decide(self.features(history, LAST)[:, 0])  # (B, 1, D) -> (B, D)

    def features(self, batch: Batch, read: slice | None = None) -> Tensor:
        """What the transformer makes of the tokens at the positions ``read``, (B, R, D).

        By default of those that actions are predicted from, one a step.
        """
        mask = causal_mask(self.tokens.valid(batch.valid), self.tokens.per_step, self.config.attention_window)
        wanted = self.tokens.read if read is None else read
        out: Tensor = self.transformer(self.tokens(batch), mask, wanted)
        return out

    def stream(self, batch_size: int, generator: torch.Generator) -> Stream:
        """Acts step by step where attention slides; elsewhere only whole histories give the same actions."""
        if self.config.attention_window is None:
            return super().stream(batch_size, generator)
        return DecisionStream(self, batch_size)


class DecisionStream(Stream):
    """A batch of episodes in which a Decision Transformer with sliding attention acts."""

    def __init__(self, model: DecisionTransformer, batch_size: int) -> None:
        """Begin ``batch_size`` episodes at once."""
        window, relative = model.config.attention_window, model.tokens.relative_steps
        assert window is not None
        like = model.head.linear.weight
        self._model, self._slots = model, ring_slots(relative, window)
        self._masks = list(ring_masks(relative, window).to(like))  # 2S × (1, 1, n, S × n)
        self._layers = [
            RingBufferLayer(block, batch_size, self._slots, len(relative))
            for block in model.transformer.blocks
        ]
        self._times = model.tokens.times()
        self._action: Tensor | None = None

    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """Actions for the next step of each episode."""
        slot = timestep % self._slots
        mask = self._masks[timestep if timestep < self._slots else self._slots + slot]
        tokens = self._model.tokens.next(observation, return_to_go, self._action, self._times[timestep])
        for layer in self._layers:
            tokens = layer.advance(tokens, mask, slot)
        features = self._model.transformer.final_norm(tokens[:, -1])  # (B, n, D) -> (B, D)
        self._action = self._model.head.decide(features)
        return self._action
