"""A compiled policy stepped in Python equals the compiled rollout."""

from typing import Any

import numpy as np
import pytest

from cartpole_phys.batch import Columns
from cartpole_phys.kernels.control_laws import PROPORTIONAL
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.controllers import proportional, regulator, swing_up, uniform
from cartpole_phys.policies.network import compiled_network
from cartpole_phys.rollouts.collect import run_compiled
from cartpole_phys.rollouts.policy import CompiledPolicy, StepwisePolicy
from cartpole_phys.system import CartPole
from tests.support.networks import described

KEY = key_from_seed(3)
NOISY = CompiledPolicy(PROPORTIONAL, (0.0, 0.0, 1.2, 0.1), noise=0.3)
BUSY = {"push_rate": 5.0, "observation_noise": 0.01, "randomize": {"pole_mass": [0.05, 0.2]}}
CASES: list[tuple[str, bool, CompiledPolicy]] = [
    ("balance", True, uniform()),
    ("balance", False, uniform()),
    ("balance", True, NOISY),
    ("balance", True, regulator(CartPole().params)),
    ("balance", False, proportional(1.1, False)),
    ("balance", False, proportional(1.1, False, 0.1)),
    ("swing_up", True, uniform()),
    ("swing_up", True, swing_up(CartPole().params)),
    ("swing_up", True, swing_up(CartPole().params, noise=0.2)),
    ("balance", True, compiled_network(*described("tanh_gaussian"))),
    ("balance", True, compiled_network(*described("gaussian", "tanh", deterministic=True))),
    ("balance", False, compiled_network(*described("categorical", size=2))),
    ("swing_up", True, compiled_network(*described("gaussian", observation_size=5))),
]


@pytest.mark.parametrize("arguments", [{}, BUSY])
@pytest.mark.parametrize(("task", "continuous", "policy"), CASES)
def test_stepwise_actions_equal_the_compiled_rollout(
    task: str, continuous: bool, policy: CompiledPolicy, arguments: dict[str, Any]
) -> None:
    system = CartPole.from_arguments(task, continuous, arguments)
    first, count = 5, 3
    columns = Columns(system, count)
    columns.keys[:], columns.episodes[:] = KEY, np.arange(first, first + count)
    columns.begin()
    stepwise = StepwisePolicy(policy, columns)
    stepwise.begin(count, np.random.default_rng(0))
    expected = run_compiled(system, policy, KEY, first, count)
    rewards = np.zeros(count)
    for t in range(int(np.diff(expected.offsets).max())):
        observations = columns.observe()
        batch = stepwise.act(observations, rewards)
        columns.set_actions(batch.actions)
        for i, episode in enumerate(expected):
            if t < len(episode.actions):
                assert observations[i].tobytes() == episode.observations[t].tobytes()
                assert batch.actions[i].tobytes() == episode.actions[t].tobytes()
                for name, values in batch.infos.items():
                    assert values[i].tobytes() == expected.infos[name][expected.offsets[i] + t].tobytes()
        assert set(batch.infos) == set(expected.infos) & {"raw_actions", "action_log_probs"}
        rewards = columns.step().rewards
