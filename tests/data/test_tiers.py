"""A tier is one module: discovered, built, checked and listed without changes elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data import tiers
from cartpole_phys.data.recipe import released_recipes
from cartpole_phys.data.tiers import TIERS, check_combination, default_tier, tiers_of
from cartpole_phys.policies.behavior import KINDS, kind_of
from cartpole_phys.utils.errors import InputError

TOY = """
from dataclasses import dataclass

from cartpole_phys.data.checks.base import Gate, NotApplicable
from cartpole_phys.data.tiers.base import Tier
from cartpole_phys.policies.behavior import HEURISTIC


class ToyGate(Gate):
    name = "toy"

    def __init__(self, header):
        super().__init__(header)
        if header.metadata.get("tier") != "toy":
            raise NotApplicable("the file does not claim to be of the toy tier")

    def finish(self):
        return "it is of the toy tier"


TOY = Tier(
    name="toy", policies=(HEURISTIC,), band=(65.0, 85.0), target=75.0, released=False, gate=ToyGate
)
"""
PROGRAM = """
import json, sys
from cartpole_phys.data import tiers
tiers.__path__.append(sys.argv[1])
tiers.discover()
from typer.testing import CliRunner
from cartpole_phys import build_dataset
from cartpole_phys.cli import app
from cartpole_phys.data.checks.run import check
from cartpole_phys.data.recipe import released_recipes
path = build_dataset(policy="heuristic", tier="toy", steps=2_000, out=sys.argv[1])
refused = CliRunner().invoke(app, ["build", "--tier", "excellent", "--policy", "heuristic"]).exception
shown = CliRunner().invoke(app, ["build", "--help"], env={"COLUMNS": "1000"})
print(json.dumps({
    "name": path.name,
    "help": "toy, " in shown.output,
    "refusal": str(refused),
    "gates": {result.gate: [result.status, result.detail] for result in check(path)},
    "released": any("toy" in name for name in released_recipes()),
}))
"""


def test_a_tier_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["name"] == "physcartpole-heuristic-toy-steps2000-v0.hdf5"
    assert told["help"]
    assert "toy, " in told["refusal"]
    assert told["gates"]["toy"] == ["passed", "it is of the toy tier"]
    assert told["gates"]["tier"][1].startswith("scores toy 7")
    assert {status for status, _ in told["gates"].values()} == {"passed", "not applicable"}
    assert not told["released"]


def test_tiers_are_discovered_in_a_fixed_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(TIERS)
    (tmp_path / "a_toy.py").write_text(TOY)
    with monkeypatch.context() as patched:
        patched.setattr(tiers, "__path__", [str(tmp_path), *tiers.__path__])
        tiers.discover()
        assert [name for name in TIERS if name != "toy"] == before
        assert [name for name in TIERS if name in ("medium", "toy", "expert")] == ["medium", "toy", "expert"]
    tiers.discover()
    assert list(TIERS) == before
    single = ["unrated", "random", "weak", "medium", "expert"]
    assert [name for name in before if name in single] == single


def test_every_policy_has_one_default_tier_and_every_tier_a_policy() -> None:
    policies = (*KINDS, "module:factory")
    for policy in policies:
        defaults = [name for name in tiers_of(policy) if kind_of(policy) in TIERS[name].default_for]
        assert defaults == [default_tier(policy)]
    assert {name for policy in policies for name in tiers_of(policy)} == set(TIERS)


def test_a_tier_states_what_its_policies_need() -> None:
    """Heuristics need a target score, agents a checkpoint selection, and both a score band."""
    for policy, kind in KINDS.items():
        for tier in (TIERS[name] for one in tiers_of(policy) for name, _ in TIERS[one].shares(9)):
            if kind.is_trained and tier.source == "collection":
                assert tier.selection is not None
                assert tier.band is not None
                assert tier.band[0] <= tier.selection.low <= tier.selection.high
            if policy == "heuristic":
                assert tier.target is not None


def test_shares_of_a_mixture_are_all_rows() -> None:
    for rows in (9, 10, 11, 1_000_001):
        for name, tier in TIERS.items():
            shares = tier.shares(rows)
            counts = [count for _, count in shares]
            assert sum(counts) == rows
            assert sorted(counts, reverse=True) == counts
            assert max(counts) - min(counts) <= 1
            assert len(shares) > 1 or shares == [(name, rows)]


def test_the_catalogue_lists_the_released_recipes() -> None:
    for recipe in released_recipes().values():
        assert TIERS[recipe.tier].released
        check_combination(recipe.policy, recipe.tier, recipe.backend)


@pytest.mark.parametrize(
    ("policy", "tier", "env_id", "message"),
    [
        (
            "sac",
            "medium",
            "CartPole-v1",
            "'sac' needs continuous actions, .* choose --policy from random, ppo or",
        ),
        (
            "heuristic",
            "weak",
            "Pendulum-v1",
            "'heuristic' drives carts only, .* from random, ppo, sac or MODULE",
        ),
        ("random", "expert", "PhysCartPole-v0", "'random' has no tier 'expert'; choose from random."),
        (
            "sac",
            "medum",
            "PhysCartPole-v0",
            "'sac' has no tier 'medum'; choose .* Did you mean medium",
        ),
        (
            "dqn",
            "medium",
            "PhysCartPole-v0",
            "Unknown policy 'dqn'; choose from random, heuristic, ppo, sac or",
        ),
        (
            "heuristic",
            "stitching",
            "PhysCartPole-v0",
            "requires PhysCartPoleSwingUp-v0 without .* from weak, .*medium",
        ),
    ],
)
def test_invalid_combinations_are_rejected(policy: str, tier: str, env_id: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_combination(policy, tier, make_backend(env_id))
