"""What a data set is made of: for each single tier a behaviour policy, or a recorded training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cartpole_phys.backends.base import PolicySource
from cartpole_phys.data.building.heuristics import heuristic_behaviour
from cartpole_phys.data.building.stitching import pieces
from cartpole_phys.data.building.trained_agent import trained_agent
from cartpole_phys.data.building.user_policies import require_repeatable, require_verifiable
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import all_references, references
from cartpole_phys.data.tiers import REPLAYS, STITCHING, is_own_policy
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.behavior import Behaviour
from cartpole_phys.policies.resolve import factory_description, policy_from_factory
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.rollouts.collect import cut, episodes_for
from cartpole_phys.utils.progress import Progress

References = Mapping[str, Any]
COLLECTION = "collection"  # of a policy that the file holds, which can play the same again
TRAINING = "training"  # all that an agent did while it learned


@dataclass(frozen=True, eq=False)
class Part:
    """One single tier of a data set."""

    recipe: Recipe  # of the set that holds this part alone
    behaviour: Behaviour
    recording: Episodes | None = None  # what is in it, unless that is played as it is written
    number: int = 0  # which of the sets of that recipe, if they differ in their episodes alone

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
        if self.behaviour.description["kind"] != "factory":
            return self.behaviour
        place, sha256 = (str(self.behaviour.description[key]) for key in ("place", "source_sha256"))
        return partial(policy_from_factory, place, self.recipe.backend, sha256)

    @property
    def seed(self) -> int:
        """What the collected episodes' keys are drawn from."""
        return collection_seed(self.recipe, self.number)

    def episodes(self, jobs: int) -> Iterator[Episodes]:
        """The part's exactly ``rows`` rows, as they are played; ``jobs`` changes none of them."""
        if self.recording is not None:
            return iter([self.recording])
        backend = self.recipe.backend
        needed = partial(episodes_for, self.rows, backend.max_episode_steps)
        return cut(backend.stream(self.source, self.seed, needed, jobs), self.rows)


def origin(recipe: Recipe) -> str:
    """Where the rows of a single tier are from."""
    if recipe.tier == STITCHING:
        return STITCHING
    return TRAINING if recipe.tier in REPLAYS else COLLECTION


def collection_seed(recipe: Recipe, number: int) -> int:
    """What the keys of collected episodes are drawn from, in set ``number`` of those of one recipe."""
    return recipe.derived_seed("collection", number)


@dataclass(frozen=True, eq=False)
class Prepared:
    """All parts of a data set, and the returns that its scores refer to; empty where there are none."""

    parts: list[Part]
    references: References


def _stitched(recipe: Recipe) -> Part:
    """Pieces of the expert's episodes."""
    system = recipe.backend.system
    assert system is not None
    assert recipe.steps is not None
    expert = heuristic_behaviour(recipe.env_id, system, "expert", recipe.derived_seed("calibration"))
    recording = pieces(system, expert.policy, recipe.steps, recipe.derived_seed("collection"))
    return Part(recipe, Behaviour({**expert.description, "tier": STITCHING}), recording)


def _own(recipe: Recipe) -> Part:
    """A policy that a user supplies.

    Raises:
        InputError: if its tier cannot be verified, or it does not repeat its actions.
    """
    require_verifiable(recipe)
    part = Part(recipe, Behaviour({**factory_description(recipe.policy), "tier": recipe.tier}))
    require_repeatable(recipe, part.source)
    return part


def prepare(recipe: Recipe, cache: Cache, progress: Progress) -> Prepared:
    """Calibrate, train or load whatever acts in a data set.

    Raises:
        InputError: if a tier cannot be reached, or an extra is missing.
    """
    parts, measured = [], references(recipe.env_id) if recipe.env_id in all_references() else {}
    for part in recipe.parts:
        if part.policy == "random":
            parts.append(Part(part, Behaviour({"kind": "uniform", "tier": "random"})))
        elif part.tier == STITCHING:
            parts.append(_stitched(part))
        elif part.policy == "heuristic":
            assert part.backend.system is not None
            seed = part.derived_seed("calibration")
            behaviour = heuristic_behaviour(part.env_id, part.backend.system, part.tier, seed)
            parts.append(Part(part, behaviour))
        elif is_own_policy(part.policy):
            parts.append(_own(part))
        else:
            trained = trained_agent(part, cache, progress)
            parts.append(Part(part, trained.behaviour, trained.recording))
            measured = trained.references
    return Prepared(parts, measured)
