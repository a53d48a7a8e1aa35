"""Resolving policies by name, module or file, with their environments."""

import sys
from pathlib import Path

import pytest

from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.hdf5.file import Contents, read, write
from cartpole_phys.play import setup_for
from cartpole_phys.policies.controllers import proportional, regulator, swing_up, uniform
from cartpole_phys.policies.resolve import named_policy, names_for
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from tests.rendering.test_play import ZeroPolicy

SWING_UP = "PhysCartPoleSwingUp-v0"


class Gain(ZeroPolicy):
    """A policy whose factory needs the system."""

    def __init__(self, system: CartPole) -> None:
        self.system = system


class CustomError(Exception):
    """An unexpected exception type."""


def fail() -> ZeroPolicy:
    """A factory that raises a custom exception."""
    raise CustomError("no such weights")


def wait() -> ZeroPolicy:
    """A factory interrupted by Ctrl-C."""
    raise KeyboardInterrupt


def test_names_are_those_of_the_task() -> None:
    balance, up = CartPole(), CartPole.from_id(SWING_UP)
    assert names_for(balance) == ("lqr", "heuristic", "random")
    assert names_for(up) == ("swing-up", "random")
    assert named_policy(None, balance) == named_policy("lqr", balance) == regulator(balance.params)
    assert named_policy(None, up) == swing_up(up.params)
    assert named_policy("random", up) == uniform()


def test_policies_from_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "of_mine.py").write_text("def make(system, noise=0):\n    return Some(system)\n")
    with (tmp_path / "of_mine.py").open("a") as file:
        file.write("from tests.policies.test_resolve import Gain as Some\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    system = CartPole()
    made = named_policy("of_mine:make", system)
    assert made.system is system  # type: ignore[union-attr]
    assert isinstance(named_policy("tests.rendering.test_play:ZeroPolicy", system), ZeroPolicy)
    assert named_policy("cartpole_phys.policies.controllers:uniform", system) == uniform()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lqrr", "Unknown policy 'lqrr'; choose from lqr, heuristic, random"),
        ("swing-up", "'swing-up' does not support this task"),
        ("no_such_module:make", "Cannot import the module 'no_such_module'"),
        (":make", "Cannot import the module ''"),
        (".mod:make", "Cannot import the module '.mod'"),
        ("math:nothing", "has no function or class 'nothing'"),
        ("math:pi", "has no function or class 'pi'"),
        ("builtins:dict", "Expected 'builtins:dict' to return a policy"),
        (
            "json:loads",
            r"Expected 'json:loads' to return a policy .* but it raised TypeError\('the JSON object",
        ),
        ("tests.policies.test_resolve:fail", r"but it raised CustomError\('no such weights'\)"),
        ("nowhere.hdf5", "There is no file 'nowhere.hdf5'"),
    ],
)
def test_invalid_policies_are_rejected(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        setup_for(name, None, {})


@pytest.mark.parametrize(
    ("source", "words"),
    [("def", "SyntaxError: invalid syntax"), ("raise KeyError('theirs')", "KeyError: 'theirs'")],
)
def test_errors_name_the_problem_of_a_module(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    expected = rf"Cannot import the module 'broken_module' \({words}"
    with pytest.raises(InputError, match=expected):
        named_policy("broken_module:make", CartPole())
    with pytest.raises(InputError, match=expected):
        make_backend("broken_module:Some-v0")


def test_a_folder_of_shards_is_not_a_policy(tmp_path: Path) -> None:
    folder = build_dataset(policy="random", steps=20, shard_steps=10, out=tmp_path)
    with pytest.raises(InputError, match=r"got the folder .*; name one of the shards in it"):
        setup_for(str(folder), None, {})
    assert setup_for(str(folder / "shard-00000-of-00002.hdf5"), None, {}).policy == uniform()


def test_interrupting_a_factory_is_not_an_input_error() -> None:
    with pytest.raises(KeyboardInterrupt):
        named_policy("tests.policies.test_resolve:wait", CartPole())


def test_policy_and_environment_of_a_data_set(tmp_path: Path, medium_file: Path) -> None:
    cast = setup_for(str(medium_file), None, {"push_rate": 1.0})
    assert cast.system == CartPole(push_rate=1.0)
    assert isinstance(cast.policy, CompiledPolicy)
    assert cast.name == medium_file.stem
    env_id, kwargs = "PhysCartPoleDiscrete-v0", {"push_rate": 1.0}
    mixed = build_dataset(env_id, "heuristic", "mixed", 900, env_kwargs=kwargs, out=tmp_path)
    cast = setup_for(str(mixed), None, {})
    assert cast.system == CartPole(continuous=False, push_rate=1.0)
    assert cast.policy == proportional(1.0, False, 0.1)  # the last part is the expert
    assert setup_for(str(mixed), env_id, {}).system == cast.system
    with pytest.raises(InputError, match=f"acts in {env_id}, which differs from PhysCartPole-v0"):
        setup_for(str(mixed), "PhysCartPole-v0", {})


def test_data_sets_of_other_packages_are_rejected(tmp_path: Path, medium_file: Path) -> None:
    contents = read(medium_file)
    path = tmp_path / "bare.hdf5"
    write(path, Contents(contents.arrays, {}, {}))
    with pytest.raises(InputError, match="which stores none"):
        setup_for(str(path), None, {})


def test_arguments_of_a_data_set_are_merged_by_name(tmp_path: Path) -> None:
    own = {
        "params": {"pole_mass": 0.3, "gravity": 9.0},
        "randomize": {"cart_mass": [0.9, 1.1]},
        "push_rate": 1.0,
    }
    built = str(build_dataset(policy="random", steps=100, env_kwargs=own, out=tmp_path))
    given = {
        "params": {"gravity": 5.0},
        "randomize": {"half_length": [0.4, 0.6]},
        "push_rate": 2.0,
        "substeps": 2,
    }
    together = {
        "params": {"pole_mass": 0.3, "gravity": 5.0},
        "randomize": {"cart_mass": [0.9, 1.1], "half_length": [0.4, 0.6]},
        "push_rate": 2.0,
        "substeps": 2,
    }
    assert setup_for(built, None, given).system == CartPole.from_id("PhysCartPole-v0", together)
    assert setup_for(built, "PhysCartPole-v0", given) == setup_for(built, None, given)
    assert setup_for(built, None, {"params": None}).system.params == CartPole().params
