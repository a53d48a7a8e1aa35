"""Data sets that several tests look at, built once."""

from pathlib import Path

import pytest

from cartpole_phys.data.build import build_dataset


@pytest.fixture(scope="session")
def medium_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A heuristic medium set of 5,000 transitions."""
    return build_dataset(policy="heuristic", tier="medium", steps=5_000, out=tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="session")
def random_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random set of 5,000 transitions, which carries log-probabilities."""
    return build_dataset(policy="random", steps=5_000, out=tmp_path_factory.mktemp("sets"))
