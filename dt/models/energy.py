"""Iterative Energy Minimization (Chen et al., 2023): plans whose every action the others make likely."""

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
    """Shape of an energy model; the defaults are the authors' for their mazes.

    Raises:
        InputError: if a value is not possible.
    """

    horizon: int = 10  # steps of a plan
    bins: int = 100  # of each component of a continuous action
    # Of bins that hold equally many actions, the likeliest would be the most unusual one for its situation.
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
    """Predicts each action of a plan from what is seen at its beginning and from all its other actions.

    ::

        energy of a⁰ a¹ a²  =  − log p(a⁰ | ■ s a¹ a²)  − log p(a¹ | ■ s a⁰ a²)  − log p(a² | ■ s a⁰ a¹)
                                          read here       ■ stands in the place of the one that is left out

    Everyone looks at everyone. The authors' model has a token for the observation of each step, too, of which
    a plan knows none but the first; here the others are left out.
    """

    return_conditioned = False
    others: Tensor  # (T, T − 1) int64, the places of a plan besides each one

    def __init__(self, config: EnergyConfig, spaces: Spaces) -> None:
        super().__init__()
        if not spaces.continuous and spaces.action_size < 2:
            raise InputError("Expected 2 or more actions to choose from, got 1: there is nothing to plan.")
        self.config, self.spaces, self.window = config, spaces, config.horizon
        self.per_step = spaces.action_size if spaces.continuous else 1  # tokens of an action
        self.size = config.horizon * self.per_step  # T, tokens of a plan
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
        """Cut the actions into bins as suits the data."""
        actions = normalization.actions(torch.as_tensor(episodes.actions)).numpy()
        self.discretizer.fit(actions.reshape(episodes.steps, -1), self.config.binning)

    def loss(self, batch: Batch) -> Tensor:
        """Mean over the actions that count of what each adds to the energy of its plan, in nats."""
        batch = left_aligned(batch)
        known = batch.valid.repeat_interleave(self.per_step, dim=1)  # (B, H) -> (B, T)
        parts = self.energies(batch.observations[:, 0], self.tokens(batch.actions), known)
        return parts.sum() / known.sum()

    def energies(self, observations: Tensor, plans: Tensor, known: Tensor | None = None) -> Tensor:
        """What each action adds to the energy of its plan, in nats: (B, T), or 0 where it is not known.

        Args:
            observations: (B, obs) at the beginning, normalised.
            plans: (B, T) tokens.
            known: (B, T) bool, False on tokens that nobody may look at; by default there are none.
        """
        places = torch.arange(self.size, device=plans.device).expand_as(plans)
        logits = self.logits(observations, plans, places, known)  # (B, T, N)
        parts = F.cross_entropy(logits.float().transpose(1, 2), plans, reduction="none")  # (B, T)
        return parts if known is None else torch.where(known, parts, 0.0)

    def logits(
        self, observations: Tensor, plans: Tensor, places: Tensor, known: Tensor | None = None
    ) -> Tensor:
        """What may stand at ``places`` (B, M) of plans (B, T), one at a time: (B, M, N).

        All of them are copies of the plan in one batch, each in a turn of its own: the one that is left out
        comes first, so that the last layer works on it alone.
        """
        others = self.others[places]  # (B, M, T − 1)
        tokens = plans[:, None].expand(*places.shape, -1).gather(2, others)  # (B, M, T − 1)
        asked = (self.embed_masked + self.embed_place[places])[:, :, None]  # (B, M, 1, D)
        seen = self.embed_observation(observations)[:, None, None].expand_as(asked)
        copies = torch.cat([asked, seen, self._embed(tokens, others)], dim=2)  # (B, M, T + 1, D)
        mask = self._mask(known, others)
        features = self.transformer(copies.flatten(0, 1), mask, FIRST)  # (B × M, T + 1, D) -> (B × M, 1, D)
        return self._choices(features.unflatten(0, places.shape)[:, :, 0], places)

    def initial_logits(self, observations: Tensor) -> Tensor:
        """What may stand at each place while nothing of a plan is known: (B, T, N)."""
        asked = (self.embed_masked + self.embed_place).expand(
            len(observations), -1, -1
        )  # (T, D) -> (B, T, D)
        tokens = torch.cat([self.embed_observation(observations)[:, None], asked], dim=1)  # (B, T + 1, D)
        everyone = tokens.new_ones(1, 1, *(2 * [self.size + 1]), dtype=torch.bool)  # (1, 1, T + 1, T + 1)
        features = self.transformer(tokens, everyone, slice(1, None))  # (B, T, D)
        places = torch.arange(self.size, device=observations.device)
        return self._choices(features, places.expand(len(observations), -1))

    def tokens(self, actions: Tensor) -> Tensor:
        """Actions (B, H, act) or (B, H) as plans (B, T)."""
        return self.discretizer.encode(actions.unflatten(1, (self.config.horizon, -1)).flatten(2)).flatten(1)

    def stream(self, batch_size: int, generator: torch.Generator) -> EnergyStream:
        """Plans, does some of it, and plans again."""
        return EnergyStream(self, generator)

    def _embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        own = tokens + (places % self.per_step) * self.bins  # every component has embeddings of its own
        out: Tensor = self.embed_token(own) + self.embed_place[places]
        return out

    def _mask(self, known: Tensor | None, others: Tensor) -> Tensor:
        """Whom the tokens of each copy may look at: (B × M or 1, 1, 1, T + 1 or 1) bool."""
        if known is None:
            return others.new_ones(1, 1, 1, 1, dtype=torch.bool)
        seen = known[:, None].expand(*others.shape[:2], -1).gather(2, others)  # (B, M, T − 1)
        return F.pad(seen, (2, 0), value=True).flatten(0, 1)[:, None, None]  # -> (B × M, 1, 1, T + 1)

    def _choices(self, features: Tensor, places: Tensor) -> Tensor:
        """Logits (B, M, N) of the bins that data have, from features (B, M, D) at ``places`` (B, M)."""
        parts = places % self.per_step  # (B, M)
        logits = self.head(features).unflatten(2, (self.per_step, self.bins))  # -> (B, M, P, N)
        chosen = logits.gather(2, parts[:, :, None, None].expand(-1, -1, 1, self.bins))[:, :, 0]  # (B, M, N)
        return chosen.masked_fill(~self.discretizer.used[parts], -torch.inf)


class EnergyStream(Stream):
    """A batch of episodes in which the first actions of each plan are done."""

    def __init__(self, model: EnergyModel, generator: torch.Generator) -> None:
        """Begin with no plan."""
        self._model, self._generator = model, generator
        self._left: list[Tensor] = []  # actions (B, act) of the plan, the next one last

    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """The next actions of the plans, which are made anew when so many steps are done."""
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
    """The same windows with their padding behind instead of in front."""
    slots = torch.arange(batch.valid.shape[1], device=batch.valid.device)
    padding = (~batch.valid).sum(dim=1, keepdim=True)  # (B, 1)
    order = (slots + padding) % len(slots)  # (B, K)
    rows = torch.arange(len(order), device=order.device)[:, None]
    return Batch(*(part[rows, order] for part in batch))
