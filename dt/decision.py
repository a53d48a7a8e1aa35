"""Decision Transformer (Chen et al., 2021): actions as what the wanted return and the history call for.

::

    tokens     R̂₀  s₀  a₀  R̂₁  s₁  a₁  …  R̂ₖ  sₖ       each looks at itself and what is left of it
    predicts       a₀          a₁              aₖ       from the state token: the action is not seen yet

The last action token is left out, since nothing may look at it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cartpole_phys.errors import InputError
from dt.gpt import Transformer, TransformerConfig, causal_mask, initialize
from dt.heads import ActionHead, Model
from dt.source import Spaces
from dt.windows import Batch

STATE_TOKENS = slice(1, None, 3)
LAST_STATE_TOKEN = slice(-1, None)


@dataclass(frozen=True)
class DecisionConfig:
    """Shape of a Decision Transformer; the defaults are the authors' for the gym tasks.

    Raises:
        InputError: if the context is below 1.
    """

    context: int = 20  # steps, of three tokens each
    transformer: TransformerConfig = field(default_factory=TransformerConfig)

    def __post_init__(self) -> None:
        if self.context < 1:
            raise InputError(f"Expected a context of at least 1 step, got {self.context}.")


class DecisionTransformer(Model):
    """Predicts each action from the return still wanted, the time, and what was seen and done so far."""

    uses_target = True

    def __init__(self, config: DecisionConfig, spaces: Spaces) -> None:
        super().__init__()
        width = config.transformer.width
        self.context = config.context
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = nn.Linear(spaces.observation_size, width)
        self.embed_action = (nn.Linear if spaces.continuous else nn.Embedding)(spaces.action_size, width)
        self.embed_timestep = nn.Embedding(spaces.max_episode_steps, width)
        # PyTorch's normal(0, 1) would drown the other inputs: measured, the target was then ignored for long
        self.embed_timestep.apply(initialize)
        self.embedding_norm = nn.LayerNorm(width)
        self.transformer = Transformer(config.transformer)
        self.head = ActionHead(width, spaces)

    def loss(self, batch: Batch) -> Tensor:
        """Mean error of the predicted actions over the steps that are not padding."""
        return self.head.loss(self.features(batch), batch.actions, batch.valid)

    def act(self, history: Batch) -> Tensor:
        """The action for the last step."""
        return self.head.decide(self.features(history, LAST_STATE_TOKEN)[:, 0])  # (B, 1, D) -> (B, D)

    def features(self, batch: Batch, read: slice = STATE_TOKENS) -> Tensor:
        """What the transformer makes of the tokens at the positions ``read``, (B, R, D)."""
        valid = batch.valid.repeat_interleave(3, dim=1)[:, :-1]  # (B, K) -> (B, 3K − 1)
        out: Tensor = self.transformer(self.embedding_norm(self._tokens(batch)), causal_mask(valid), read)
        return out

    def _tokens(self, batch: Batch) -> Tensor:
        embedded = torch.stack(
            [
                self.embed_return(batch.returns_to_go[:, :, None]),  # (B, K) -> (B, K, 1) -> (B, K, D)
                self.embed_observation(batch.observations),
                self.embed_action(batch.actions),
            ],
            dim=2,
        )  # (B, K, 3, D)
        timed = embedded + self.embed_timestep(batch.timesteps)[:, :, None]  # + (B, K, 1, D)
        return timed.flatten(1, 2)[:, :-1]  # (B, 3K, D) -> (B, 3K − 1, D)
