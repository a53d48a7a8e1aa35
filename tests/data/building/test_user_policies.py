"""User policies in data sets: their tier is measured, and their actions must be reproducible."""

import sys
from pathlib import Path
from typing import Any

import pytest

from cartpole_phys import build_dataset
from cartpole_phys.data.checks.run import NOT_PROVEN, check
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.utils.errors import InputError

MODULE = "policies_of_ones_own"
SOURCE = '''
import numpy as np
from cartpole_phys.rollouts.policy import ActionBatch


def below_expert():
    """Scores 85 to 91, while half of its episodes reach the time limit."""
    return lambda observations: np.clip(1.1645 * observations[:, 2:3], -1.0, 1.0)


def expert():
    return lambda observations: (8.0 * observations[:, 2:3] + observations[:, 3:]).clip(-1.0, 1.0)


def unseeded():
    return lambda observations: np.random.uniform(-1.0, 1.0, (len(observations), 1))


def seldom_random():
    def act(observations):
        actions = np.sign(observations[:, 2:3])
        rare = np.random.random(len(actions)) < 0.01
        actions[rare] *= -1.0
        return actions

    return act


def seeded_when_made():
    generator = np.random.default_rng(0)
    return lambda observations: generator.uniform(-1.0, 1.0, (len(observations), 1))


class Remembering:
    """Keeps state across episodes."""

    def __init__(self):
        self.steps = 0

    def begin(self, batch_size, generator):
        pass

    def act(self, observations, rewards):
        self.steps += 1
        return ActionBatch(np.full((len(observations), 1), np.sin(self.steps), np.float32), {})


class Drawing:
    """Samples from the generator it receives, seeded by the build."""

    def begin(self, batch_size, generator):
        self.generator = generator

    def act(self, observations, rewards):
        actions = self.generator.uniform(-1.0, 1.0, (len(observations), 1))
        return ActionBatch(actions.astype(np.float32), {})


def choosing_at_random():
    return lambda observations: np.random.randint(0, 2, len(observations))
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module with the policies, importable here and in child processes."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)


def _build(tmp_path: Path, factory: str, **arguments: Any) -> Path:
    return build_dataset(policy=f"{MODULE}:{factory}", out=tmp_path / "out", **arguments)


@pytest.mark.parametrize("seed", range(2))
def test_a_policy_below_its_tier_is_rejected_at_any_size(tmp_path: Path, seed: int) -> None:
    message = r"tier 'expert' to score at least 95, .* scores 8\d\.\d .* 1,000 episodes; leave out --tier"
    with pytest.raises(InputError, match=message):
        _build(tmp_path, "below_expert", tier="expert", steps=1_500, seed=seed)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("shard_steps", [None, 200])
def test_a_policy_of_its_tier_needs_no_complete_episode(tmp_path: Path, shard_steps: int | None) -> None:
    path = _build(tmp_path, "expert", tier="expert", steps=200, shard_steps=shard_steps)
    file = path if shard_steps is None else sorted(path.glob("*.hdf5"))[0]
    (score,) = read_header(file).metadata["scores"]
    assert score["score"] >= 95
    tier = {result.gate: result for result in check(path)}["tier"]
    assert tier.status == NOT_PROVEN
    assert f"cartpole-phys rebuild FILE --policy {MODULE}:expert" in tier.detail


def test_no_tier_is_claimed_that_no_evaluation_verifies(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="at least 100 to verify the tier 'expert', got 10; leave out --tier"
    ):
        _build(tmp_path, "expert", tier="expert", steps=100, score_episodes=10)
    with pytest.raises(InputError, match=r"No reference returns for 'CartPole-v1'.*leave out --tier"):
        _build(tmp_path, "choosing_at_random", env_id="CartPole-v1", tier="expert", steps=100)


@pytest.mark.parametrize("factory", ["unseeded", "seldom_random", "seeded_when_made", "Remembering"])
def test_an_irreproducible_policy_is_rejected(tmp_path: Path, factory: str) -> None:
    with pytest.raises(InputError, match=rf"'{MODULE}:{factory}' chose other actions .* generator"):
        _build(tmp_path, factory, steps=500)
    assert list(tmp_path.glob("out/*")) == []


def test_irreproducible_policies_are_rejected_in_any_environment(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chose other actions"):
        _build(tmp_path, "choosing_at_random", env_id="CartPole-v1", steps=100)


def test_a_policy_may_sample_from_the_given_generator(tmp_path: Path) -> None:
    assert _build(tmp_path, "Drawing", steps=500).is_file()
