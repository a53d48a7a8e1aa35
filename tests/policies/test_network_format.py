"""Policy networks in files: missing, misshapen or non-finite weights are rejected in one line."""

import numpy as np
import pytest

from cartpole_phys.policies.behavior import from_description
from cartpole_phys.utils.errors import InputError
from tests.support.networks import Described, described, with_description


def _without(what: Described, name: str) -> Described:
    return what[0], {key: value for key, value in what[1].items() if key != name}


def _with(what: Described, name: str, value: np.ndarray) -> Described:
    return what[0], {**what[1], name: value}


GOOD = described("tanh_gaussian")


BAD: list[tuple[Described, str]] = [
    (_without(GOOD, "fc1.bias"), r"fc1\.bias, but they are missing"),
    (_without(GOOD, "last_fc_log_std.weight"), "last_fc_log_std"),
    (_without(described("gaussian"), "log_std"), "log_std, but they are missing"),
    (
        _with(GOOD, "fc1.weight", np.zeros((7, 9), np.float32)),
        r"fc1\.weight as float32 of shape \(any, 10\)",
    ),
    (_with(GOOD, "fc0.weight", np.zeros(4, np.float32)), r"shape \(4,\)"),
    (_with(GOOD, "fc0.weight", np.zeros((0, 4), np.float32)), r"shape \(0, 4\)"),
    (_with(GOOD, "last_fc.bias", np.zeros(1)), "got float64"),
    (
        _with(GOOD, "fc0.bias", np.full(10, np.nan, np.float32)),
        r"finite numbers in .* fc0\.bias",
    ),
    (with_description(GOOD, nonlinearity="elu"), "nonlinearity out of relu, tanh, got 'elu'"),
    (with_description(GOOD, output_distribution=None), "output_distribution out of"),
    (with_description(GOOD, deterministic=1), "true or false"),
    (with_description(GOOD, action_low=None), "action_low as a list of finite"),
    (with_description(GOOD, action_low=[np.inf]), "finite"),
    (with_description(GOOD, action_low=[-(10**400)]), "action_low as a list of finite"),
    (with_description(GOOD, action_low=[-1e300]), "action_low as a list of finite"),
    (({"kind": "proportional", "gain": 10**400, "continuous": True, "damping": 0.0}, {}), "is incomplete"),
    (({"kind": "swing_up", "params": {"gravity": 10**400}, "noise": 0.1}, {}), "as a number, got"),
    (({"kind": "swing_up", "params": {}, "noise": 10**400}, {}), "is incomplete"),
    (with_description(GOOD, action_low=[1.0]), "below its action_high"),
    (
        with_description(GOOD, action_low=[-1.0, -1.0], action_high=[1.0, 1.0]),
        "with 1 numbers each, .* got 2",
    ),
]


@pytest.mark.parametrize(("what", "message"), BAD)
def test_invalid_policies_are_rejected(what: Described, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_description(*what)
