"""Data sets that several tests look at, built once."""

from pathlib import Path

import pytest

from cartpole_phys.data.building.build import build_dataset

# Files with tests of tens of seconds: begun first, so that neither process ends on one while the other idles.
LONGEST = (
    "benchmarks/test_readme.py",
    "benchmarks/test_readme_commands.py",
    "benchmarks/test_scores.py",
    "data/building/test_cluster.py",
    "data/building/test_rebuild.py",
    "data/test_hostile_files.py",
    "dt/test_distributed.py",
    "kernels/test_same_bits.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave the order as it is otherwise."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


@pytest.fixture(scope="session")
def medium_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A heuristic medium set of 5,000 transitions."""
    return build_dataset(policy="heuristic", tier="medium", steps=5_000, out=tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="session")
def random_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random set of 5,000 transitions, which carries log-probabilities."""
    return build_dataset(policy="random", steps=5_000, out=tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="session")
def varied_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random set of 3,000 transitions with drawn parameters, noisy sensors and pushes."""
    env_kwargs = {
        "randomize": {"pole_mass": [0.05, 0.2], "cart_friction": [0.0, 0.1]},
        "observation_noise": 0.01,
        "push_rate": 5.0,
    }
    out = tmp_path_factory.mktemp("sets")
    return build_dataset(policy="random", steps=3_000, env_kwargs=env_kwargs, out=out)


@pytest.fixture(scope="session")
def discrete_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A heuristic weak set of 2,000 transitions with discrete actions."""
    out = tmp_path_factory.mktemp("sets")
    return build_dataset("PhysCartPoleDiscrete-v0", "heuristic", "weak", steps=2_000, out=out)


@pytest.fixture(scope="session")
def mixed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A heuristic mixed set of 5,000 transitions, of three parts."""
    return build_dataset(policy="heuristic", tier="mixed", steps=5_000, out=tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="session")
def stitching_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stitching set of 20,000 transitions."""
    return build_dataset(
        "PhysCartPoleSwingUp-v0", "heuristic", "stitching", 20_000, out=tmp_path_factory.mktemp("sets")
    )


@pytest.fixture(scope="session")
def sac_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 20,000 transitions by a SAC agent of medium score."""
    return build_dataset(policy="sac", tier="medium", steps=20_000, out=tmp_path_factory.mktemp("sets"))
