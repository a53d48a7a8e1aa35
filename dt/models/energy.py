"""Iterative Energy Minimization (Chen et al., 2023): planning with a masked action model."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from dt.data.discretizer import UNIFORM, Discretizer
from dt.data.source import Spaces
from dt.data.windows import Batch, Normalization
from dt.models.base import Model, Stream
from dt.models.gpt import INIT_STD, Transformer, TransformerConfig
from dt.planning.refinement import RefinementConfig, refine

FIRST = slice(0, 1)


@dataclass(frozen=True)
class EnergyConfig:
    """Architecture of an energy model; the defaults are the authors' for their mazes.

    Raises:
        InputError: if a value is out of range.
    """

    horizon: int = 10  # steps per plan
    bins: int = 100  # per component of a continuous action
    # With quantile bins, which are equally likely overall, the most likely bin given the state would be the
    # one whose probability is raised most above the marginal, not the one of highest density.
    binning: str = UNIFORM
    transformer: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(heads=4, activation="gelu")
    )
    refinement: RefinementConfig = field(default_factory=RefinementConfig)

    def __post_init__(self) -> None:
        if self.horizon < 2:
            raise InputError(f"Expected a horizon of at least 2 steps, got {self.horizon}.")
        if self.refinement.executed > self.horizon:
            raise InputError(
                f"Expected to execute at most {self.horizon} steps of a plan, its horizon, got "
                f"{self.refinement.executed}."
            )


class EnergyModel(Model):
    """Energy model: predicts each action of a plan from its first observation and all its other actions.

    ::

        energy of a⁰ a¹ a²  =  − log p(a⁰ | ■ s a¹ a²)  − log p(a¹ | ■ s a⁰ a²)  − log p(a² | ■ s a⁰ a¹)
                                          read here       ■ masks the predicted action

    Attention is bidirectional. The authors' model also has a token for the observation of each step, of which
    only the first is known when planning; here the others are omitted.
    """

    return_conditioned = False
    others: Tensor  # (T, T − 1) int64, for each position of a plan, all other positions

    def __init__(self, config: EnergyConfig, spaces: Spaces) -> None:
        super().__init__()
        if not spaces.continuous and spaces.action_size < 2:
            raise InputError("Expected 2 or more discrete actions, got 1; use an environment with a choice.")
        self.config, self.spaces, self.window = config, spaces, config.horizon
        self.per_step = spaces.action_size if spaces.continuous else 1  # tokens per action
        self.size = config.horizon * self.per_step  # T, tokens per plan
        self.bins = config.bins if spaces.continuous else spaces.action_size  # N
        width = config.transformer.width
        self.discretizer = Discretizer(self.per_step, self.bins)
        self.embed_observation = nn.Linear(spaces.observation_size, width)
        self.embed_token = nn.Embedding(self.per_step * self.bins, width)
        self.embed_place = nn.Parameter(torch.randn(self.size, width) * INIT_STD)
        self.embed_masked = nn.Parameter(torch.randn(width) * INIT_STD)
        self.transformer = Transformer(config.transformer)
        self.head = nn.Linear(width, self.per_step * self.bins)
        nn.init.normal_(self.embed_token.weight, std=INIT_STD)
        places = torch.arange(self.size)
        others = (places[:, None] + places[1:]) % self.size  # (T, T − 1)
        self.register_buffer("others", others, persistent=False)

    def prepare(self, episodes: Episodes, normalization: Normalization) -> None:
        """Fit the bins of the actions to the data."""
        actions = normalization.actions(torch.as_tensor(episodes.actions)).numpy()
        self.discretizer.fit(actions.reshape(episodes.steps, -1), self.config.binning)

    def loss(self, batch: Batch) -> Tensor:
        """Compute the mean contribution of valid actions to the energy of their plans, in nats."""
        batch = left_aligned(batch)
        known = batch.valid.repeat_interleave(self.per_step, dim=1)  # (B, H) -> (B, T)
        parts = self.energies(batch.observations[:, 0], self.tokens(batch.actions), known)
        return parts.sum() / known.sum()

    def energies(self, observations: Tensor, plans: Tensor, known: Tensor | None = None) -> Tensor:
        """Contribution (B, T) of each action to the energy of its plan, in nats; 0 on padding.

        Args:
            observations: (B, obs) first observation, normalized.
            plans: (B, T) tokens.
            known: (B, T) bool, False on padding; by default there is none.
        """
        places = torch.arange(self.size, device=plans.device).expand_as(plans)
        logits = self.logits(observations, plans, places, known)  # (B, T, N)
        parts = F.cross_entropy(logits.float().transpose(1, 2), plans, reduction="none")  # (B, T)
        return parts if known is None else torch.where(known, parts, 0.0)

    def logits(
        self, observations: Tensor, plans: Tensor, places: Tensor, known: Tensor | None = None
    ) -> Tensor:
        """Logits (B, M, N) at positions ``places`` (B, M) of plans (B, T), each masked separately.

        The batch holds one copy of the plan per masked position. The masked token comes first in each copy,
        so that the last layer computes that position only.
        """
        others = self.others[places]  # (B, M, T − 1)
        tokens = plans[:, None].expand(*places.shape, -1).gather(2, others)  # (B, M, T − 1)
        masked = (self.embed_masked + self.embed_place[places])[:, :, None]  # (B, M, 1, D)
        observed = self.embed_observation(observations)[:, None, None].expand_as(masked)
        copies = torch.cat([masked, observed, self._embed(tokens, others)], dim=2)  # (B, M, T + 1, D)
        mask = self._mask(known, others)
        features = self.transformer(copies.flatten(0, 1), mask, FIRST)  # (B × M, T + 1, D) -> (B × M, 1, D)
        return self._choices(features.unflatten(0, places.shape)[:, :, 0], places)

    def initial_logits(self, observations: Tensor) -> Tensor:
        """Logits (B, T, N) of all positions, with all of them masked."""
        masked = (self.embed_masked + self.embed_place).expand(
            len(observations), -1, -1
        )  # (T, D) -> (B, T, D)
        tokens = torch.cat([self.embed_observation(observations)[:, None], masked], dim=1)  # (B, T + 1, D)
        bidirectional = tokens.new_ones(
            1, 1, *(2 * [self.size + 1]), dtype=torch.bool
        )  # (1, 1, T + 1, T + 1)
        features = self.transformer(tokens, bidirectional, slice(1, None))  # (B, T, D)
        places = torch.arange(self.size, device=observations.device)
        return self._choices(features, places.expand(len(observations), -1))

    def tokens(self, actions: Tensor) -> Tensor:
        """Encode actions (B, H, act) or (B, H) as plans (B, T)."""
        return self.discretizer.encode(actions.unflatten(1, (self.config.horizon, -1)).flatten(2)).flatten(1)

    def stream(self, batch_size: int, generator: torch.Generator) -> EnergyStream:
        """Start receding-horizon planning, which executes ``refinement.executed`` steps of each plan."""
        return EnergyStream(self, generator)

    def _embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        own = tokens + (places % self.per_step) * self.bins  # separate embeddings per component
        out: Tensor = self.embed_token(own) + self.embed_place[places]
        return out

    def _mask(self, known: Tensor | None, others: Tensor) -> Tensor:
        """Attention mask of the copies: (B × M or 1, 1, 1, T + 1 or 1) bool."""
        if known is None:
            return others.new_ones(1, 1, 1, 1, dtype=torch.bool)
        valid = known[:, None].expand(*others.shape[:2], -1).gather(2, others)  # (B, M, T − 1)
        return F.pad(valid, (2, 0), value=True).flatten(0, 1)[:, None, None]  # -> (B × M, 1, 1, T + 1)

    def _choices(self, features: Tensor, places: Tensor) -> Tensor:
        """Logits (B, M, N) from features (B, M, D) at ``places`` (B, M), −∞ for unused bins."""
        parts = places % self.per_step  # (B, M)
        logits = self.head(features).unflatten(2, (self.per_step, self.bins))  # -> (B, M, P, N)
        chosen = logits.gather(2, parts[:, :, None, None].expand(-1, -1, 1, self.bins))[:, :, 0]  # (B, M, N)
        return chosen.masked_fill(~self.discretizer.used[parts], -torch.inf)


class EnergyStream(Stream):
    """Receding-horizon inference of an energy model for a batch of episodes."""

    def __init__(self, model: EnergyModel, generator: torch.Generator) -> None:
        """Start without a plan."""
        self._model, self._generator = model, generator
        self._left: list[Tensor] = []  # remaining actions (B, act) of the plan, the next one last

    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """Return the next actions of the plans, and replan when the executed steps are used up."""
        if not self._left:
            self._left = self._plan(observation)
        actions = self._left.pop()
        return actions if self._model.spaces.continuous else actions[:, 0].long()

    def _plan(self, observation: Tensor) -> list[Tensor]:
        model, config = self._model, self._model.config
        *_, plans = refine(model, observation, config.refinement, self._generator)
        steps = plans.unflatten(1, (config.horizon, -1))  # (B, T) -> (B, H, P)
        actions = model.discretizer.decode(steps[:, : config.refinement.executed])
        return list(reversed(actions.unbind(1)))


def left_aligned(batch: Batch) -> Batch:
    """Move the padding of windows from the front to the end."""
    slots = torch.arange(batch.valid.shape[1], device=batch.valid.device)
    padding = (~batch.valid).sum(dim=1, keepdim=True)  # (B, 1)
    order = (slots + padding) % len(slots)  # (B, K)
    rows = torch.arange(len(order), device=order.device)[:, None]
    return Batch(*(part[rows, order] for part in batch))
