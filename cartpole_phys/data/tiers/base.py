"""A quality tier, and the part of a data set that it makes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from cartpole_phys.backends.base import Backend, PolicySource
from cartpole_phys.data.building.trained_agent import trained_agent
from cartpole_phys.data.building.user_policies import require_verifiable
from cartpole_phys.data.score import all_references, return_of_score
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.behavior import Behavior, Calibration, PolicyKind
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.policies.training.hyperparameters import Selection
from cartpole_phys.rollouts.collect import cut, episodes_for

if TYPE_CHECKING:
    from cartpole_phys.data.checks.base import Gate
    from cartpole_phys.data.recipe import Recipe
    from cartpole_phys.utils.progress import Progress

DEFAULT_STEPS = 1_000_000  # transitions of one policy, as D4RL
COLLECTION = "collection"  # of a policy that the file holds, which can play the same again
UNBOUNDED = -math.inf, math.inf


@dataclass(frozen=True, eq=False)
class Part:
    """One single tier of a data set."""

    recipe: Recipe  # of the set that holds this part alone
    behavior: Behavior
    recording: Episodes | None = None  # what is in it, unless that is played as it is written
    number: int = 0  # which of the sets of that recipe, if they differ in their episodes alone
    references: Mapping[str, Any] | None = None  # of its score, where they were measured

    @property
    def rows(self) -> int:
        """Transitions in this part."""
        if self.recording is not None:
            return self.recording.steps
        assert self.recipe.steps is not None
        return self.recipe.steps

    @property
    def source(self) -> PolicySource:
        """Where each thread or process that plays this part has its policy from."""
        return self.behavior.source(self.recipe.backend)

    def episodes(self, jobs: int) -> Iterator[Episodes]:
        """The part's exactly ``rows`` rows, as they are played; ``jobs`` changes none of them."""
        if self.recording is not None:
            return iter([self.recording])
        backend, seed = self.recipe.backend, collection_seed(self.recipe, self.number)
        needed = partial(episodes_for, self.rows, backend.max_episode_steps)
        return cut(backend.stream(self.source, seed, needed, jobs), self.rows)


def collection_seed(recipe: Recipe, number: int) -> int:
    """What the keys of collected episodes are drawn from, in set ``number`` of those of one recipe."""
    return recipe.derived_seed("collection", number)


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A quality of behavior: here of one policy, which collects all rows."""

    name: str
    policies: tuple[PolicyKind, ...]  # that it can be built from
    band: tuple[float, float] | None = None  # scores that its policy may have
    target: float | None = None  # score that the calibration of a heuristic aims at
    selection: Selection | None = None  # of the checkpoint of a trained agent
    default_for: tuple[PolicyKind, ...] = ()
    default_steps: int | None = DEFAULT_STEPS  # transitions; None for all that were recorded
    released: bool = True  # whether its data sets are in the catalogue
    gate: type[Gate] | None = None  # that only its files have to pass
    requirement: str = ""  # the environments that it is for
    order: ClassVar[int] = 0  # of its class in lists of tiers
    source: ClassVar[str] = COLLECTION  # where its rows are from, as files state it

    def position(self) -> tuple[int, float, str]:
        """Where it stands in lists of tiers: those of a class from worst to best."""
        return self.order, (self.band or UNBOUNDED)[0], self.name

    def suits(self, backend: Backend) -> bool:
        """Whether it can be built in an environment."""
        return True

    def check(self, recipe: Recipe) -> None:
        """Refuse the options of a recipe that do not go with it.

        Raises:
            InputError: if there are any.
        """

    def shares(self, rows: int) -> list[tuple[str, int]]:
        """The concatenated single tiers, each with its number of rows."""
        return [(self.name, rows)]

    def prepare(self, recipe: Recipe, cache: Cache, progress: Progress) -> Part:
        """Calibrate, train or load the policy that collects its rows.

        Raises:
            InputError: if the tier cannot be reached or verified, or an extra is missing.
        """
        kind = recipe.kind
        if kind.is_trained:
            agent = trained_agent(recipe, self, cache, progress)
            return Part(recipe, agent.behavior, references=agent.references)
        described = kind.describe(recipe.policy, recipe.backend, self.calibration(recipe))
        part = Part(recipe, Behavior({**described, "tier": self.name}))
        if kind.is_user_code:
            require_verifiable(recipe, self, part.source)
        return part

    def calibration(self, recipe: Recipe) -> Calibration | None:
        """How the strength of its heuristic is found, if it has one in this environment."""
        if self.target is None or recipe.env_id not in all_references():
            return None
        aim = return_of_score(recipe.env_id, self.target)
        return Calibration(self.target, aim, recipe.derived_seed("calibration"))

    def card(self, acted: str, policy: str) -> str:
        """What its rows are, for the card of a data set.

        Args:
            acted: what the policy is, in words.
            policy: the name of the policy.
        """
        return acted

    def limit(self, kind: PolicyKind) -> str:
        """What users of its rows have to know, for the card; empty if there is nothing."""
        return kind.limit
