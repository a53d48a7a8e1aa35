"""The models by name, and how each is trained: small in a minute, or as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cartpole_phys.errors import InputError
from dt.baselines import BehaviorCloning, CloningConfig
from dt.decision import DecisionConfig, DecisionTransformer
from dt.gpt import TransformerConfig
from dt.heads import Model
from dt.optimization import AUTO, COSINE, TrainConfig
from dt.source import Spaces

ModelConfig = DecisionConfig | CloningConfig


@dataclass(frozen=True)
class Recipe:
    """All that decides a trained model, besides the data."""

    kind: str  # a key of KINDS
    model: ModelConfig
    train: TrainConfig


SIZES = ("tiny", "paper")

KINDS: Mapping[str, tuple[type[ModelConfig], Any]] = {
    "decision": (DecisionConfig, DecisionTransformer),
    "bc": (CloningConfig, BehaviorCloning),
}

RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("decision", "tiny"): Recipe(
        "decision",
        DecisionConfig(context=10, transformer=TransformerConfig(layers=2, width=64, dropout=0.0)),
        TrainConfig(steps=4_000, learning_rate=1e-3, warmup_steps=200, schedule=COSINE),
    ),
    ("decision", "paper"): Recipe("decision", DecisionConfig(), TrainConfig()),
    ("bc", "tiny"): Recipe(
        "bc",
        CloningConfig(),
        TrainConfig(steps=5_000, batch_size=256, learning_rate=1e-3, warmup_steps=200, schedule=COSINE),
    ),
    ("bc", "paper"): Recipe("bc", CloningConfig(), TrainConfig()),
}


def recipe(kind: str, size: str, steps: int | None = None, seed: int = 0, dtype: str = AUTO) -> Recipe:
    """The recipe of a model in a size, "tiny" or "paper".

    Args:
        kind: a key of ``KINDS``.
        size: "tiny" trains within about a minute on two CPU cores; "paper" has the published settings.
        steps: optimisation steps, or None for the size's own number.
        seed: decides weights, windows and dropout.
        dtype: of the matrix products, see ``TrainConfig``.

    Raises:
        InputError: on a model or size that there is not, or an impossible number.
    """
    if (kind, size) not in RECIPES:
        known = ", ".join(f"{kind} {size}" for kind, size in RECIPES)
        raise InputError(f"Unknown model and size {kind!r} {size!r}; choose from {known}.")
    chosen = RECIPES[kind, size]
    steps = chosen.train.steps if steps is None else steps
    return replace(chosen, train=replace(chosen.train, steps=steps, seed=seed, dtype=dtype))


def create(kind: str, config: ModelConfig, spaces: Spaces) -> Model:
    """An untrained model, its weights drawn from PyTorch's global generator."""
    model: Model = KINDS[kind][1](config, spaces)
    return model
