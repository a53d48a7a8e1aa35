"""Replay tiers: all transitions of an agent's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cartpole_phys.data.building.trained_agent import trained_agent
from cartpole_phys.data.tiers.base import Part, Tier
from cartpole_phys.data.tiers.single import EXPERT, MEDIUM, TRAINED
from cartpole_phys.policies.behavior import PolicyKind
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.utils.errors import InputError

if TYPE_CHECKING:
    from cartpole_phys.data.recipe import Recipe
    from cartpole_phys.utils.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Replay(Tier):
    """The recorded training run of an agent, judged by the agent that it leads up to."""

    agent: Tier
    whole_run: bool  # else up to the agent's checkpoint
    order = 2
    source = "training"

    def check(self, recipe: Recipe) -> None:
        """Refuse the mean action.

        Raises:
            InputError: if it is asked for.
        """
        if recipe.deterministic:
            raise InputError(
                f"--deterministic does not go with {self.name}, which holds the agent's training "
                "transitions; leave it out, or choose another tier."
            )

    def prepare(self, recipe: Recipe, cache: Cache, progress: Progress) -> Part:
        """The recording, or its last ``recipe.steps`` rows; see ``Tier.prepare``.

        Raises:
            InputError: if there are not so many.
        """
        agent = trained_agent(recipe, self.agent, cache, progress)
        recorded = agent.run.recording.episodes(None if self.whole_run else agent.steps)
        if recipe.steps is not None and recipe.steps > recorded.steps:
            raise InputError(
                f"Expected --steps of at most {recorded.steps:,}, all that the agent of {self.name} saw, "
                f"got {recipe.steps:,}; leave --steps out to have it all."
            )
        rows = recorded if recipe.steps is None else recorded.tail(recipe.steps)
        return Part(recipe, agent.behavior, rows, references=agent.references)

    def card(self, acted: str, policy: str) -> str:
        end = "the end of the training run" if self.whole_run else f"the {self.agent.name} checkpoint"
        return f"what the {policy} learner did, from its first step to {end}"

    def limit(self, kind: PolicyKind) -> str:
        return "The behaviour changes from row to row, so there are no log-probabilities."


MEDIUM_REPLAY = Replay(
    name="medium-replay",
    policies=TRAINED,
    band=MEDIUM.band,
    default_steps=None,
    agent=MEDIUM,
    whole_run=False,
)
FULL_REPLAY = Replay(
    name="full-replay",
    policies=TRAINED,
    band=EXPERT.band,
    default_steps=None,
    agent=EXPERT,
    whole_run=True,
)
