"""A question so small that all of it is trained within minutes: the same cells, and nothing learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.studies.cell import Method, Protocol
from benchmarks.studies.question import Question
from cartpole_phys.data.recipe import Recipe
from dt.models.energy import EnergyConfig
from dt.models.gpt import TransformerConfig
from dt.models.recipes import ModelConfig
from dt.models.trajectory import TrajectoryConfig
from dt.planning.beam import PlanConfig
from dt.planning.refinement import RefinementConfig

STEPS = 2  # gradient steps
ROWS = 3_000  # of each data set
SEED = 1  # of the stand-ins, which are other data than the regimes
PROTOCOL = Protocol(
    episodes=2, slow_episodes=1, seeds=1, curve_points=1, curve_episodes=1, swept_scores=(50.0,)
)
# Agents would take minutes to train, so the heuristic stands in for them.
STAND_INS = {"medium": "weak", "medium-replay": "medium", "medium-expert": "medium-expert", "mixed": "mixed"}
OTHERS = "expert"  # stands in for whatever tier somebody adds


def shrunk(question: Question, results: Path) -> Question:
    """The same question, tiny."""
    return replace(
        question,
        tiers={task: tuple(map(_tier, tiers)) for task, tiers in question.tiers.items()},
        methods=tuple(map(_method, question.methods)),
        regimes=tuple(replace(tier, steps=ROWS) for tier in question.regimes),
        regime_methods=tuple(map(_method, question.regime_methods)),
        stitching=replace(question.stitching, steps=ROWS),
        planned=tuple(map(_tier, question.planned)),
        planners=tuple(map(_method, question.planners)),
        protocol=PROTOCOL,
        results=results,
    )


def _tier(given: Recipe) -> Recipe:
    return replace(given, policy="heuristic", tier=STAND_INS.get(given.tier, OTHERS), steps=ROWS, seed=SEED)


def _method(given: Method) -> Method:
    recipe = given.recipe
    trained = replace(recipe.train, steps=STEPS, warmup_steps=0, batch_size=4)
    return replace(given, recipe=replace(recipe, model=_model(recipe.model), train=trained))


def _model(given: ModelConfig) -> ModelConfig:
    """One narrow layer, and plans of one step."""
    changes: dict[str, Any] = {}
    if hasattr(given, "transformer"):
        changes["transformer"] = TransformerConfig(layers=1, heads=1, width=8, dropout=0.0)
    if hasattr(given, "hidden"):
        changes["hidden"] = (8,)
    if isinstance(given, TrajectoryConfig):
        changes.update(context=2, bins=4, plan=PlanConfig(horizon=1, beam_width=1, expansions=1, context=1))
    if isinstance(given, EnergyConfig):
        changes.update(horizon=2, bins=4, refinement=RefinementConfig(iterations=1, executed=2))
    return replace(given, **changes)
