"""Model registry and training recipes: small presets and the published settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cartpole_phys.utils.choices import choices, unknown
from cartpole_phys.utils.errors import InputError
from dt.data.source import Spaces
from dt.models.base import Model
from dt.models.behavior_cloning import BehaviorCloning, CloningConfig
from dt.models.decision import DecisionConfig, DecisionTransformer
from dt.models.energy import EnergyConfig, EnergyModel
from dt.models.gpt import TransformerConfig
from dt.models.reinformer import Reinformer, ReinformerConfig
from dt.models.trajectory import TrajectoryConfig, TrajectoryTransformer
from dt.models.value_based.base import ValueConfig
from dt.models.value_based.cql import ConservativeQLearning, CQLConfig
from dt.models.value_based.iql import ImplicitQLearning, IQLConfig
from dt.models.value_based.td3bc import TD3BCConfig, TwinDelayedCloning
from dt.planning.beam import PlanConfig
from dt.planning.refinement import RefinementConfig
from dt.training.optimizer import AUTO, COSINE, FLOAT32, MATRICES, TrainConfig

ModelConfig = (
    DecisionConfig | ReinformerConfig | TrajectoryConfig | EnergyConfig | CloningConfig | ValueConfig
)


@dataclass(frozen=True)
class Recipe:
    """Model and training hyperparameters: everything that determines a trained model besides the data."""

    kind: str  # a key of KINDS
    model: ModelConfig
    train: TrainConfig


KINDS: Mapping[str, tuple[type[ModelConfig], Any]] = {
    "decision": (DecisionConfig, DecisionTransformer),
    "reinformer": (ReinformerConfig, Reinformer),
    "trajectory": (TrajectoryConfig, TrajectoryTransformer),
    "energy": (EnergyConfig, EnergyModel),
    "bc": (CloningConfig, BehaviorCloning),
    "iql": (IQLConfig, ImplicitQLearning),
    "cql": (CQLConfig, ConservativeQLearning),
    "td3bc": (TD3BCConfig, TwinDelayedCloning),
}

# Full names, by which the unknown-model error suggests a kind for initials such as dt.
TITLES: Mapping[str, str] = {
    "decision": "Decision Transformer",
    "trajectory": "Trajectory Transformer",
    "energy": "Iterative Energy Minimization",
    "bc": "behavior cloning",
    "iql": "implicit Q-learning",
    "cql": "conservative Q-learning",
    "td3bc": "TD3+BC",
}

# Value-based methods are published without warm-up, weight decay or gradient clipping.
PLAIN_ADAM: Any = {"warmup_steps": 0, "weight_decay": 0.0, "clip": 1e9, "dtype": FLOAT32}

PUBLISHED_VALUE_BASED = TrainConfig(steps=1_000_000, batch_size=256, learning_rate=3e-4, **PLAIN_ADAM)
# 1/200 of the steps, with a larger learning rate and Polyak coefficient.
TINY_VALUE_BASED = replace(PUBLISHED_VALUE_BASED, steps=5_000, learning_rate=1e-3, schedule=COSINE)
FAST_TARGET_UPDATE = 0.05  # Polyak coefficient τ

# Optimizer settings of language models, used by Trajectory Transformers and energy models.
LANGUAGE_MODEL: Any = {"weight_decay": 0.1, "decaying": MATRICES, "betas": (0.9, 0.95), "clip": 1.0}

RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("decision", "tiny"): Recipe(
        "decision",
        DecisionConfig(context=10, transformer=TransformerConfig(layers=2, width=64, dropout=0.0)),
        TrainConfig(steps=4_000, learning_rate=1e-3, warmup_steps=200, schedule=COSINE),
    ),
    ("decision", "paper"): Recipe("decision", DecisionConfig(), TrainConfig()),
    # Sliding-window attention over the paper's context length, so that acting uses a key–value cache.
    ("decision", "sliding"): Recipe(
        "decision", DecisionConfig(context=40, attention_window=20), TrainConfig(batch_size=32)
    ),
    ("decision", "post-norm"): Recipe(
        "decision", DecisionConfig(transformer=TransformerConfig(heads=4, norm="post")), TrainConfig()
    ),
    ("decision", "summed"): Recipe(
        "decision",
        DecisionConfig(tokens="summed", transformer=TransformerConfig(heads=4, norm="post")),
        TrainConfig(
            epochs=100, batch_size=256, learning_rate=3e-4, warmup_steps=0, weight_decay=0.01, clip=1.0
        ),
    ),
    # Bahri, "Transformers for Reinforcement Learning", table I: the best parameters on each Pendulum set.
    **{
        ("decision", f"pendulum-{name}"): Recipe(
            "decision",
            DecisionConfig(transformer=TransformerConfig(width=width)),
            TrainConfig(steps=1_000_000, learning_rate=rate),
        )
        for name, width, rate in (("random", 128, 1e-4), ("replay", 32, 1e-2), ("trained", 64, 1e-2))
    },
    ("reinformer", "tiny"): Recipe(
        "reinformer",
        ReinformerConfig(
            transformer=TransformerConfig(
                layers=2, heads=4, width=64, activation="gelu", norm="post", dropout=0.0
            )
        ),
        TrainConfig(steps=4_000, learning_rate=1e-3, warmup_steps=200, schedule=COSINE),
    ),
    ("reinformer", "paper"): Recipe(
        "reinformer", ReinformerConfig(), TrainConfig(steps=50_000, batch_size=128, warmup_steps=5_000)
    ),
    ("trajectory", "tiny"): Recipe(
        "trajectory",
        TrajectoryConfig(
            context=8,
            bins=50,
            transformer=TransformerConfig(layers=2, heads=2, width=64, activation="gelu", dropout=0.0),
            plan=PlanConfig(horizon=5, beam_width=4, context=3),
        ),
        TrainConfig(steps=2_000, learning_rate=1e-3, warmup_steps=100, schedule=COSINE, **LANGUAGE_MODEL),
    ),
    # The authors train for 50 epochs of a million rows.
    ("trajectory", "paper"): Recipe(
        "trajectory",
        TrajectoryConfig(),
        TrainConfig(
            steps=195_000,
            batch_size=256,
            learning_rate=6e-4,
            warmup_steps=3_900,
            schedule=COSINE,
            **LANGUAGE_MODEL,
        ),
    ),
    ("energy", "tiny"): Recipe(
        "energy",
        EnergyConfig(
            horizon=8,
            bins=50,
            transformer=TransformerConfig(layers=2, heads=2, width=64, activation="gelu", dropout=0.0),
            refinement=RefinementConfig(iterations=16, executed=1),
        ),
        TrainConfig(steps=2_000, learning_rate=1e-3, warmup_steps=100, schedule=COSINE, **LANGUAGE_MODEL),
    ),
    ("energy", "paper"): Recipe(
        "energy",
        EnergyConfig(),
        TrainConfig(epochs=200, learning_rate=6e-4, warmup_steps=0, **LANGUAGE_MODEL),
    ),
    ("bc", "tiny"): Recipe(
        "bc",
        CloningConfig(),
        TrainConfig(steps=5_000, batch_size=256, learning_rate=1e-3, warmup_steps=200, schedule=COSINE),
    ),
    ("bc", "paper"): Recipe("bc", CloningConfig(), TrainConfig()),
    # Smaller rewards than the authors', so that advantages have less weight.
    ("iql", "tiny"): Recipe(
        "iql", IQLConfig(target_update=FAST_TARGET_UPDATE, return_span=100.0), TINY_VALUE_BASED
    ),
    ("iql", "paper"): Recipe("iql", IQLConfig(), PUBLISHED_VALUE_BASED),
    # One sampled action of each kind instead of ten; the cloning phase is the same fraction of the steps.
    ("cql", "tiny"): Recipe(
        "cql",
        CQLConfig(hidden=(256, 256), target_update=FAST_TARGET_UPDATE, sampled_actions=1, cloning_steps=200),
        TINY_VALUE_BASED,
    ),
    ("cql", "paper"): Recipe("cql", CQLConfig(), PUBLISHED_VALUE_BASED),
    ("td3bc", "tiny"): Recipe("td3bc", TD3BCConfig(target_update=FAST_TARGET_UPDATE), TINY_VALUE_BASED),
    ("td3bc", "paper"): Recipe("td3bc", TD3BCConfig(), PUBLISHED_VALUE_BASED),
}
SIZES = tuple(dict.fromkeys(size for _, size in RECIPES))


def recipe(
    kind: str,
    size: str,
    steps: int | None = None,
    seed: int = 0,
    dtype: str = AUTO,
    best_share: float = 1.0,
) -> Recipe:
    """Return the recipe of a model in a size.

    Args:
        kind: a key of ``KINDS``.
        size: "tiny" trains within a minute or two on two CPU cores; "paper" has the published settings,
            except as listed in docs/models.md; others are variants of these.
        steps: gradient steps, or None for the number of the size.
        seed: random seed of weights, batches and dropout.
        dtype: of matrix products, see ``TrainConfig``; "auto" for the default of the size.
        best_share: fraction of the rows to train on, from the best episodes; 0.1 with "bc" is 10 % BC.

    Raises:
        InputError: on an unknown model or size, or a number out of range.
    """
    if kind not in KINDS:
        raise InputError(f"Unknown model {kind!r}; {choices(kind, KINDS, titles=TITLES)}")
    sizes = [size for one, size in RECIPES if one == kind]
    if size not in sizes:
        raise unknown(f"{kind} model size", size, sizes)
    chosen = RECIPES[kind, size]
    own = chosen.train.dtype if dtype == AUTO else dtype
    train = replace(chosen.train, seed=seed, dtype=own, best_share=best_share)
    return replace(chosen, train=train if steps is None else replace(train, steps=steps, epochs=None))


def create(kind: str, config: ModelConfig, spaces: Spaces) -> Model:
    """Create an untrained model, with weights drawn from PyTorch's global generator."""
    model: Model = KINDS[kind][1](config, spaces)
    return model
