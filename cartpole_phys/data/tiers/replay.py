"""Replay tiers: all transitions of an agent's training run, up to a checkpoint."""

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
    """Recorded training run of an agent, with the score of the agent at its end."""

    agent: Tier
    whole_run: bool  # otherwise up to the agent's checkpoint
    order = 2
    source = "training"

    def check(self, recipe: Recipe) -> None:
        """Refuse ``deterministic``, since training samples actions.

        Raises:
            InputError: if the recipe sets it.
        """
        if recipe.deterministic:
            raise InputError(
                f"--deterministic is incompatible with {self.name}, which contains the agent's training "
                "transitions; leave it out, or choose another tier."
            )

    def prepare(self, recipe: Recipe, cache: Cache, progress: Progress) -> Part:
        """Train or load the agent; the part is the recording or its last ``recipe.steps`` rows.

        Raises:
            InputError: as ``Tier.prepare``, or if the recording is shorter.
        """
        agent = trained_agent(recipe, self.agent, cache, progress)
        recorded = agent.run.recording.episodes(None if self.whole_run else agent.steps)
        if recipe.steps is not None and recipe.steps > recorded.steps:
            raise InputError(
                f"Expected --steps of at most {recorded.steps:,}, the transitions of the {self.name} agent, "
                f"got {recipe.steps:,}; leave --steps out for all of them."
            )
        rows = recorded if recipe.steps is None else recorded.tail(recipe.steps)
        return Part(recipe, agent.behavior, rows, references=agent.references)

    def card(self, policy: str, algorithm: str) -> str:
        end = "the end of the training run" if self.whole_run else f"the {self.agent.name} checkpoint"
        return f"training transitions of a {algorithm} agent, from its first step to {end}"

    def limitation(self, kind: PolicyKind) -> str:
        return "The policy changes during training, so there are no log-probabilities."


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
