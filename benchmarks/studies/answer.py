"""The scores of all that played, run by run, as far as cells are finished."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.studies import behaviors
from benchmarks.studies.cell import Method
from benchmarks.studies.question import CLONING, Question
from benchmarks.studies.statistics import ENOUGH, Estimate, difference
from benchmarks.studies.summary import Summary
from benchmarks.studies.tables import marked
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import normalized_score
from cartpole_phys.utils.typing import FloatArray

BEHAVIORS = (behaviors.SAMPLED, behaviors.MEAN_ACTION)


class Answer:
    """What the finished cells of a question say."""

    def __init__(self, question: Question) -> None:
        """Read them; tiers of which nothing is there yet are left out."""
        self.question, self.summary = question, Summary(question.cells, question.results)
        self.tiers = {
            task: tuple(tier for tier in tiers if behaviors.path(tier, question.results).exists())
            for task, tiers in question.tiers.items()
        }

    @property
    def all_tiers(self) -> list[Recipe]:
        """Of all tasks."""
        return [tier for tiers in self.tiers.values() for tier in tiers]

    def made(self, tier: Recipe) -> float:
        """The mean score of a tier's episodes."""
        return float(normalized_score(tier.env_id, self.summary.made_by(tier)["mean_return"]))

    def transitions(self, tier: Recipe) -> int:
        """How many a tier has."""
        return int(self.summary.made_by(tier)["rows"])

    def behavior(self, tier: Recipe, name: str) -> FloatArray:
        """The score of each of a behavior's runs, (runs, 1), by one of the names in ``behaviors``."""
        return normalized_score(tier.env_id, self.summary.behavior_returns(tier, name))[:, None]

    def method(self, tier: Recipe, method: Method, wish: int = 0) -> FloatArray:
        """The score of each finished seed, (runs, 1), asked for the wish of this number."""
        return normalized_score(tier.env_id, self.summary.run_returns(tier, method, wish))[:, None]

    def together(self, tiers: Sequence[Recipe], method: Method) -> FloatArray:
        """Scores (runs, tasks) on several tiers; as many runs as all of them have."""
        scores = [self.method(tier, method) for tier in tiers]
        runs = min((len(one) for one in scores), default=0)
        return np.concatenate([one[:runs] for one in scores], axis=1) if runs else np.empty((0, len(tiers)))

    def beaten(self, tier: Recipe, method: Method) -> dict[str, Estimate]:
        """By how much a method is better than both behaviors and cloning; empty while runs are too few."""
        own, others = self.method(tier, method), {name: self.behavior(tier, name) for name in BEHAVIORS}
        if method.name != CLONING:
            others[CLONING] = self.method(tier, self.question.named(CLONING))
        if min(map(len, (own, *others.values()))) < ENOUGH:
            return {}
        return {name: difference(own, scores) for name, scores in others.items()}

    def beats_all(self, tier: Recipe, method: Method) -> bool:
        """Whether the interval of each difference is above zero."""
        beaten = self.beaten(tier, method)
        return bool(beaten) and all(estimate.above for estimate in beaten.values())


def heading(answer: Answer, words: str, *tiers: Recipe) -> str:
    """A table's heading, marked where results of one of these tiers are being remeasured."""
    return marked(words, any(answer.summary.remeasured(tier) for tier in tiers))


def label(tier: Recipe) -> str:
    """A tier of a task in words."""
    return f"{tier.policy} {tier.tier}"
