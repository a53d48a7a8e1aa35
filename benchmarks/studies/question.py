"""Which method learns what from which data: what is trained on what, and how it is played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from benchmarks.studies.cell import Cell, Method, Protocol
from cartpole_phys.data.recipe import Recipe
from dt.models.energy import EnergyConfig
from dt.models.recipes import Recipe as ModelRecipe
from dt.models.recipes import recipe
from dt.models.trajectory import TrajectoryConfig
from dt.planning.beam import PlanConfig
from dt.planning.refinement import RefinementConfig


@dataclass(frozen=True)
class Question:
    """A matrix of methods and tiers, and what is trained beside it."""

    tiers: Mapping[str, tuple[Recipe, ...]]  # by task
    methods: tuple[Method, ...]
    regimes: tuple[Recipe, ...]  # controllers of one quality each, for ``regime_methods``
    regime_methods: tuple[Method, ...]
    stitching: Recipe  # whose single episodes show no method the task
    planned: tuple[Recipe, ...]  # tiers of the matrix for ``planners``
    planners: tuple[Method, ...]  # those that plan, as far ahead as their authors do
    protocol: Protocol
    results: Path

    def tier(self, task: str, name: str) -> Recipe:
        """A tier of a task."""
        return next(tier for tier in self.tiers[task] if tier.tier == name)

    def named(self, name: str) -> Method:
        """A method of the matrix."""
        return next(method for method in self.methods if method.name == name)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All that is to be trained, seed by seed, so that whatever is there can be compared."""
        matrix = [
            (tier, method) for tiers in self.tiers.values() for tier in tiers for method in self.methods
        ]
        regimes = [(data, method) for data in self.regimes for method in self.regime_methods]
        stitching = [(self.stitching, method) for method in self.methods]
        planners = [(data, method) for data in self.planned for method in self.planners]
        return tuple(
            Cell(data, method, seed)
            for pairs in ([*matrix, *regimes, *stitching], planners)
            for seed in range(self.protocol.seeds)
            for data, method in pairs
        )


BALANCE, SWING_UP = "balance", "swing-up"
ENV_IDS: Mapping[str, str] = {BALANCE: "PhysCartPole-v0", SWING_UP: "PhysCartPoleSwingUp-v0"}
TIERS = (("sac", "medium"), ("sac", "medium-replay"), ("sac", "medium-expert"), ("heuristic", "mixed"))
TRAJECTORY, ENERGY = recipe("trajectory", "tiny"), recipe("energy", "tiny")
assert isinstance(TRAJECTORY.model, TrajectoryConfig)
assert isinstance(ENERGY.model, EnergyConfig)

CLONING, DECISION = "BC", "Decision Transformer"
_CLONING = Method(CLONING, recipe("bc", "tiny"))
_BEST_CLONING = Method("10 % BC", recipe("bc", "tiny", best_share=0.1))
_DECISION = Method(DECISION, recipe("decision", "tiny"))
_TWIN_DELAYED = Method("TD3+BC", recipe("td3bc", "tiny"))


def _planner(name: str, given: ModelRecipe, model: TrajectoryConfig | EnergyConfig) -> Method:
    return Method(name, replace(given, model=model), slow=True)


QUESTION = Question(
    tiers={
        task: tuple(Recipe(env_id, policy, tier) for policy, tier in TIERS)
        for task, env_id in ENV_IDS.items()
    },
    methods=(
        _CLONING,
        _BEST_CLONING,
        _DECISION,
        Method("Reinformer", recipe("reinformer", "tiny")),
        _planner("Trajectory Transformer", TRAJECTORY, TRAJECTORY.model),  # 5 steps, beam 4
        _planner("Iterative Energy Minimization", ENERGY, replace(ENERGY.model, horizon=5)),
        Method("IQL", recipe("iql", "tiny")),
        Method("CQL", recipe("cql", "tiny")),
        _TWIN_DELAYED,
    ),
    regimes=tuple(Recipe(ENV_IDS[BALANCE], "heuristic", tier) for tier in ("weak", "medium", "expert")),
    regime_methods=(_CLONING, _BEST_CLONING, _DECISION, _TWIN_DELAYED),
    stitching=Recipe(ENV_IDS[SWING_UP], "heuristic", "stitching"),
    planned=(Recipe(ENV_IDS[BALANCE], "sac", "medium-expert"),),  # a cell takes a third of an hour
    planners=(
        _planner(
            "Trajectory Transformer, 15 steps, beam 32",
            TRAJECTORY,
            replace(TRAJECTORY.model, context=20, plan=PlanConfig()),
        ),
        _planner(
            "Iterative Energy Minimization, 10 steps, open loop",
            ENERGY,
            replace(ENERGY.model, horizon=10, refinement=RefinementConfig()),
        ),
    ),
    protocol=Protocol(episodes=100, seeds=5, curve_points=4),
    results=Path(__file__).parent.parent / "results" / "scores",
)
