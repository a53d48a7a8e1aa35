"""A report's Decision Transformers on Pendulum: what is trained on what, and how it is played.

The report is O. Bahri, "Transformers for Reinforcement Learning" (Utah State University): table I has its
parameters, table II the mean rewards. What it calls medium is its trained agent, here the expert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.studies.cell import Cell, Method, Protocol
from cartpole_phys.data.recipe import Recipe
from dt.models.recipes import Recipe as ModelRecipe
from dt.models.recipes import recipe
from dt.models.value_based.td3bc import TD3BCConfig

RESULTS = Path(__file__).parent.parent / "results" / "pendulum"
ENV_ID = "Pendulum-v1"
# Returns on Pendulum depend on the start state more than on the training seed.
PROTOCOL = Protocol(episodes=200, seeds=5, curve_episodes=50, swept_scores=(0.0, 50.0), shared_starts=True)

RANDOM = Recipe(ENV_ID, "random", steps=1_000_000)
REPLAY = Recipe(ENV_ID, "sac", "medium-replay", steps=1_000)
TRAINED = Recipe(ENV_ID, "sac", "expert", steps=200_000)
MEDIUM = Recipe(ENV_ID, "sac", "medium", steps=200_000)
FULL_REPLAY = Recipe(ENV_ID, "sac", "full-replay")

# table II, by the name of our data
REPORTED: Mapping[str, float] = {RANDOM.name: -1235.27, REPLAY.name: -1025.76, TRAINED.name: -607.84}
REPORTED_RANDOM_AGENT, REPORTED_SAC = -1228.31, -138.44
STEPS = 2_000  # gradient steps, where the report has a million, which it calls epochs


def _shortened(given: ModelRecipe) -> ModelRecipe:
    """The same in fewer steps, of which as large a share is the warm-up."""
    warmup = round(given.train.warmup_steps * STEPS / given.train.steps)
    return replace(given, train=replace(given.train, steps=STEPS, warmup_steps=warmup))


def _with_rate(given: ModelRecipe, rate: float) -> ModelRecipe:
    return replace(given, train=replace(given.train, learning_rate=rate))


OURS = recipe("decision", "tiny")
THEIRS = {
    data.name: _shortened(recipe("decision", f"pendulum-{size}"))
    for data, size in ((RANDOM, "random"), (REPLAY, "replay"), (TRAINED, "trained"))
}
SHORT = 10_000  # steps of value-based methods, of a million
TWIN_DELAYED = recipe("td3bc", "paper", steps=SHORT)
HALF_TORQUE = {"action_reach": (1.0,)}  # N·m: tanh as it is, where the environment takes up to 2

DECISION = Method("Decision Transformer", OURS)
CLONING = Method("BC", recipe("bc", "tiny"))
REPORTS = {name: Method("Decision Transformer, the report's parameters", one) for name, one in THEIRS.items()}
VALUE_BASED = (
    Method("IQL", recipe("iql", "paper", steps=SHORT)),
    Method("TD3+BC", TWIN_DELAYED),
    Method("TD3+BC, value weight 100", replace(TWIN_DELAYED, model=TD3BCConfig(value_weight=100.0))),
)
# From our parameters and from the report's, one thing changed at a time; with fewer seeds.
CHANGED_SEEDS = 3
CHANGED = (
    Method("ours, learning rate 0.01", _with_rate(OURS, 0.01)),
    Method("ours, torque of at most 1 N·m", OURS, HALF_TORQUE),
    Method("ours, returns not scaled", OURS, {"return_scale": 1.0}),
    Method("the report's, learning rate 0.001", _with_rate(THEIRS[TRAINED.name], 0.001)),
    Method("the report's, torque of at most 1 N·m", THEIRS[TRAINED.name], HALF_TORQUE),
)


def _methods(data: Recipe, seed: int) -> list[Method]:
    """What is trained on a data set."""
    methods = [CLONING, DECISION, *([REPORTS[data.name]] if data.name in REPORTS else [])]
    methods += VALUE_BASED if data == RANDOM else ()
    return [*methods, *(CHANGED if data == TRAINED and seed < CHANGED_SEEDS else ())]


CELLS = tuple(
    Cell(data, method, seed)
    for seed in range(PROTOCOL.seeds)
    for data in (RANDOM, REPLAY, TRAINED, MEDIUM, FULL_REPLAY)
    for method in _methods(data, seed)
)
