"""Public names that other projects and saved files refer to are importable under their paths."""

from importlib import import_module

import gymnasium as gym
import pytest

import cartpole_phys

EXPORTED = [
    "Episodes",
    "InputError",
    "__version__",
    "build_dataset",
    "check",
    "evaluate",
    "load_dataset",
    "make_env_and_dataset",
    "normalized_score",
    "qlearning_dataset",
    "sequence_dataset",
]
PUBLIC_PATHS = [
    "cartpole_phys.env:PhysCartPoleEnv",
    "cartpole_phys.vector:PhysCartPoleVectorEnv",
    "cartpole_phys.sb3:PhysCartPoleVecEnv",
    "cartpole_phys.physics:Params",
    "cartpole_phys.linearize:linearize",
    "dt.policy:load",
    "dt.models:recipe",
    "dt.training:train",
]


def test_package_exports_its_public_names() -> None:
    assert sorted(cartpole_phys.__all__) == sorted(EXPORTED)
    assert all(hasattr(cartpole_phys, name) for name in EXPORTED)


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_public_paths_are_importable(path: str) -> None:
    module, _, name = path.partition(":")
    assert callable(getattr(import_module(module), name))


def test_entry_points_of_the_environments() -> None:
    for env_id in ("PhysCartPole-v0", "PhysCartPoleDiscrete-v0", "PhysCartPoleSwingUp-v0"):
        spec = gym.spec(env_id)
        assert spec.entry_point == "cartpole_phys.env:PhysCartPoleEnv"
        assert spec.vector_entry_point == "cartpole_phys.vector:PhysCartPoleVectorEnv"
