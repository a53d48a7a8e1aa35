"""Base class of quality tiers, and the part of a data set that has a single tier."""

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

DEFAULT_STEPS = 1_000_000  # transitions of one policy, as in D4RL
COLLECTION = "collection"  # source of rows that the stored policy can reproduce from a seed
UNBOUNDED = -math.inf, math.inf


@dataclass(frozen=True, eq=False)
class Part:
    """Part of a data set with a single tier and one behavior policy."""

    recipe: Recipe  # of a data set that consists of this part alone
    behavior: Behavior
    recording: Episodes | None = None  # its rows, unless they are collected while they are written
    number: int = 0  # of the shard in its part, which selects its episodes
    references: Mapping[str, Any] | None = None  # measured reference returns of its score

    @property
    def rows(self) -> int:
        """Number of transitions."""
        if self.recording is not None:
            return self.recording.steps
        assert self.recipe.steps is not None
        return self.recipe.steps

    @property
    def source(self) -> PolicySource:
        """Source of the policy for each thread or process that collects this part."""
        return self.behavior.source(self.recipe.backend)

    def episodes(self, jobs: int) -> Iterator[Episodes]:
        """Iterate over the part's episodes, exactly ``rows`` rows; they do not depend on ``jobs``."""
        if self.recording is not None:
            return iter([self.recording])
        backend, seed = self.recipe.backend, collection_seed(self.recipe, self.number)
        needed = partial(episodes_for, self.rows, backend.max_episode_steps)
        return cut(backend.stream(self.source, seed, needed, jobs), self.rows)


def collection_seed(recipe: Recipe, number: int) -> int:
    """Seed of the episodes that are collected for shard ``number`` of a part."""
    return recipe.derived_seed("collection", number)


@dataclass(frozen=True, kw_only=True)
class Tier:
    """Quality tier of a data set; this base class is for data sets of a single policy."""

    name: str
    policies: tuple[PolicyKind, ...]  # from which the tier can be built
    band: tuple[float, float] | None = None  # lowest and highest score of its policy
    target: float | None = None  # score to which a heuristic is calibrated
    selection: Selection | None = None  # of the checkpoint of a trained agent
    default_for: tuple[PolicyKind, ...] = ()
    default_steps: int | None = DEFAULT_STEPS  # transitions; None for the whole recording
    released: bool = True  # whether the release includes its data sets
    gate: type[Gate] | None = None  # validation check of this tier's files alone
    requirement: str = ""  # of the environments that it supports
    order: ClassVar[int] = 0  # of its class in lists of tiers
    source: ClassVar[str] = COLLECTION  # of its rows, as stored in files

    def sort_key(self) -> tuple[int, float, str]:
        """Sort key for lists of tiers: by class, then from worst to best."""
        return self.order, (self.band or UNBOUNDED)[0], self.name

    def supports(self, backend: Backend) -> bool:
        """Whether the tier can be built in an environment."""
        return True

    def check(self, recipe: Recipe) -> None:
        """Check that the options of a recipe are compatible with the tier.

        Raises:
            InputError: if one is not.
        """

    def shares(self, rows: int) -> list[tuple[str, int]]:
        """Names of the single tiers of which the tier is the concatenation, with their numbers of rows."""
        return [(self.name, rows)]

    def prepare(self, recipe: Recipe, cache: Cache, progress: Progress) -> Part:
        """Calibrate, train or load the policy that collects the rows.

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
        """Calibration of the heuristic's strength; None where there is no target or no reference returns."""
        if self.target is None or recipe.env_id not in all_references():
            return None
        target_return = return_of_score(recipe.env_id, self.target)
        return Calibration(self.target, target_return, recipe.derived_seed("calibration"))

    def card(self, policy: str, algorithm: str) -> str:
        """Description of the rows for the data set card.

        Args:
            policy: description of the policy, such as "uniformly random actions".
            algorithm: name of the policy in recipes, such as "ppo".
        """
        return policy

    def limitation(self, kind: PolicyKind) -> str:
        """Limitation of the rows for the data set card; empty if there is none."""
        return kind.limitation
