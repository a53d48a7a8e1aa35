"""Errors about mistyped names suggest the most similar valid name, in every list of choices."""

import re
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import pytest

import cartpole_phys
from cartpole_phys.data.exports.export import export
from cartpole_phys.data.fetch import fetch
from cartpole_phys.data.recipe import Recipe, released_recipes
from cartpole_phys.data.release.release import release
from cartpole_phys.utils.errors import InputError
from dt.exchange import export_command
from dt.models.decision import DecisionConfig
from dt.models.gpt import TransformerConfig
from dt.models.recipes import recipe
from dt.training.optimizer import TrainConfig

ENV = "PhysCartPole-v0"
HERE = Path(__file__)
# the mistyped name and the intended one
SLIPS: dict[str, tuple[Callable[[], object], str]] = {
    "data set": (lambda: fetch("physcartpole-sac-medum-v0"), "physcartpole-sac-medium-v0"),
    "data set to load": (
        lambda: cartpole_phys.load_dataset("physcartpole-sac-medum-v0"),
        "physcartpole-sac-medium-v0",
    ),
    "data sets to release": (lambda: release(HERE, "physcartpole-rndom-v0"), "physcartpole-random-v0"),
    "environment": (lambda: Recipe("PhysCartpole-v1"), "PhysCartPole-v0"),
    "other environment": (lambda: Recipe("Pendulm-v1", "random"), "Pendulum-v1"),
    "policy": (lambda: Recipe(policy="heuristc"), "heuristic"),
    "policy in capitals": (lambda: Recipe(policy="SAC"), "sac"),
    "tier": (lambda: Recipe(policy="heuristic", tier="epxert"), "expert"),
    "law": (lambda: cartpole_phys.evaluate("lqrr", ENV), "lqr"),
    "integrator": (lambda: gym.make(ENV, integrator="rk5"), "rk4"),
    "parameter": (lambda: gym.make(ENV, params={"polemass": 1.0}), "pole_mass"),
    "drawn parameter": (lambda: gym.make(ENV, randomize={"polemass": [1, 2]}), "pole_mass"),
    "reset option": (lambda: gym.make(ENV).reset(options={"stat": [0, 0, 0, 0]}), "state"),
    "autoreset mode": (lambda: gym.make_vec(ENV, 2, autoreset_mode="Nextstep"), "NextStep"),
    "format": (lambda: export(HERE, "parqet"), "parquet"),
    "references": (lambda: cartpole_phys.normalized_score("Pendulum-v0", 1.0), "Pendulum-v1"),
    "model": (lambda: recipe("decison", "tiny"), "decision"),
    "model by its initials": (lambda: recipe("dt", "tiny"), "decision"),
    "model by its name": (lambda: recipe("behavior cloning", "tiny"), "bc"),
    "size": (lambda: recipe("decision", "post_norm"), "post-norm"),
    "model's format": (lambda: export_command(HERE, "hugging face", None), "hugging-face"),
    "dtype": (lambda: TrainConfig(dtype="float23"), "float32"),
    "schedule": (lambda: TrainConfig(schedule="cosin"), "cosine"),
    "tokens": (lambda: DecisionConfig(tokens="sumed"), "summed"),
    "activation": (lambda: TransformerConfig(activation="rellu"), "relu"),
}


@pytest.mark.parametrize("kind", SLIPS)
def test_typos_get_the_nearest_name_as_suggestion(kind: str) -> None:
    slip, meant = SLIPS[kind]
    with pytest.raises((InputError, gym.error.Error), match=rf"[Dd]id you mean {re.escape(meant)}\b"):
        slip()


def test_long_lists_are_shown_only_without_a_similar_name() -> None:
    def named(text: str) -> int:
        with pytest.raises(InputError) as error:
            fetch(text)
        return sum(name in str(error.value) for name in released_recipes())

    assert named("physcartpole-sac-medum-v0") <= 2
    assert named("hopper-medium-v2") == len(released_recipes())
