"""Decision Transformer (Chen et al., 2021): actions conditioned on return-to-go and history."""

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
    """Architecture of a Decision Transformer; the defaults are the authors' for the Gym tasks.

    Raises:
        InputError: if a value is out of range.
    """

    context: int = 20  # steps per training window, and steps of history when acting
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    tokens: str = "interleaved"  # return, observation and action tokens; or "summed": one token per step
    # Sliding-window attention: steps that a token attends to, including its own, so that acting can use a
    # key–value cache. None: the whole context, which shifts and must be recomputed at each step.
    attention_window: int | None = None

    def __post_init__(self) -> None:
        if self.context < 1:
            raise InputError(f"Expected a context of at least 1 step, got {self.context}.")
        if self.tokens not in TOKENS:
            raise unknown("tokens", self.tokens, TOKENS)
        if self.attention_window is not None and not 1 <= self.attention_window <= self.context:
            raise InputError(
                f"Expected an attention window of 1 to {self.context} steps (the context), got "
                f"{self.attention_window}."
            )


class DecisionTransformer(HistoryModel):
    """Decision Transformer: predicts each action from returns-to-go, timesteps, observations and actions."""

    return_conditioned = True

    def __init__(self, config: DecisionConfig, spaces: Spaces) -> None:
        super().__init__()
        width = config.transformer.width
        self.config, self.spaces, self.window = config, spaces, config.context
        self.tokens = TOKENS[config.tokens](width, spaces)
        self.context = config.context
        if config.attention_window is not None:  # receptive field of the last layer
            self.context = config.transformer.layers * (config.attention_window - 1) + self.tokens.steps_read
        self.transformer = Transformer(config.transformer)
        self.head = ActionHead(width, spaces)

    def loss(self, batch: Batch) -> Tensor:
        """Compute the mean error of the predicted actions over valid steps."""
        return self.head.loss(self.features(batch), batch.actions, batch.valid)

    def act(self, history: Batch) -> Tensor:
        """Return the action for the last step."""
        return self.head.decide(self.features(history, LAST)[:, 0])  # (B, 1, D) -> (B, D)

    def features(self, batch: Batch, read: slice | None = None) -> Tensor:
        """Compute the transformer's features (B, R, D) at the token positions ``read``.

        By default at those that actions are predicted from, one per step.
        """
        mask = causal_mask(self.tokens.valid(batch.valid), self.tokens.per_step, self.config.attention_window)
        positions = self.tokens.read if read is None else read
        out: Tensor = self.transformer(self.tokens(batch), mask, positions)
        return out

    def stream(self, batch_size: int, generator: torch.Generator) -> Stream:
        """Use a key–value cache with sliding-window attention, and recompute the history otherwise."""
        if self.config.attention_window is None:
            return super().stream(batch_size, generator)
        return DecisionStream(self, batch_size)


class DecisionStream(Stream):
    """Inference of a Decision Transformer with sliding-window attention and key–value cache."""

    def __init__(self, model: DecisionTransformer, batch_size: int) -> None:
        """Start ``batch_size`` parallel episodes."""
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
        """Return actions for the next step of each episode."""
        slot = timestep % self._slots
        mask = self._masks[timestep if timestep < self._slots else self._slots + slot]
        tokens = self._model.tokens.next(observation, return_to_go, self._action, self._times[timestep])
        for layer in self._layers:
            tokens = layer.advance(tokens, mask, slot)
        features = self._model.transformer.final_norm(tokens[:, -1])  # (B, n, D) -> (B, D)
        self._action = self._model.head.decide(features)
        return self._action
