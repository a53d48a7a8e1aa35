"""The swing-up controller swings the pole up, balances it, and stays on the track."""

import numpy as np
import pytest

from cartpole_phys.data.score import references
from cartpole_phys.kernels.control_laws import ENERGY_SHAPING
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.physics import Params
from cartpole_phys.policies.behavior import from_description
from cartpole_phys.policies.controllers import lqr_gains, swing_up, swing_up_law
from cartpole_phys.rollouts.collect import play
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.tasks import TASKS
from cartpole_phys.utils.errors import InputError

UPRIGHT = 0.95  # cosθ


def _system(params: Params | None = None, integrator: str = "semi_implicit_euler") -> CartPole:
    return CartPole(integrator=integrator, params=params or Params(), task=TASKS["swing_up"])


def _held(system: CartPole, policy: CompiledPolicy, episodes: int) -> float:
    """Fraction of full-length episodes with the pole upright in each of the last 100 steps."""
    played = play(system, policy, episodes, seed=0)
    cosines = [episode.observations[-100:, 2].min() for episode in played]
    return float(np.mean((np.array(cosines) > UPRIGHT) & played.truncations[played.offsets[1:] - 1]))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_every_start_ends_upright(integrator: str) -> None:
    system = _system(integrator=integrator)
    assert _held(system, swing_up(system.params), 200) == 1.0


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_swing_up_is_robust_to_action_noise(noise: float) -> None:
    system = _system()
    assert _held(system, swing_up(system.params, noise), 200) == 1.0


@pytest.mark.parametrize("scale", [0.6, 1.4])
@pytest.mark.parametrize("name", ["pole_mass", "half_length", "cart_mass", "gravity"])
def test_swing_up_with_other_parameters(name: str, scale: float) -> None:
    params = Params(**{name: scale * getattr(Params(), name)})
    assert _held(_system(params), swing_up(params), 50) == 1.0


def test_the_return_is_the_reference_for_a_score_of_100() -> None:
    system = _system()
    reached = play(system, swing_up(system.params), 1_000, seed=0).returns.mean()
    assert reached == references("PhysCartPoleSwingUp-v0")["ref_max"]["mean"]


def test_swing_up_needs_both_energy_pumping_and_the_regulator() -> None:
    params, law = Params(), swing_up_law(Params())
    backwards = CompiledPolicy(ENERGY_SHAPING, lqr_gains(params), (*law[:2], -law[2], *law[3:]))
    careless = CompiledPolicy(ENERGY_SHAPING, (0.0, 0.0, 0.0, 0.0), law)
    for policy in (backwards, careless):
        assert _held(_system(), policy, 50) == 0.0


def test_controller_is_rebuilt_from_its_description() -> None:
    params = Params(pole_mass=0.2, half_length=0.7)
    described: dict[str, object] = {"kind": "swing_up", "noise": 0.1, "params": vars(params)}
    assert from_description(described, {}).policy == swing_up(params, noise=0.1)
    for missing in ("noise", "params"):
        with pytest.raises(InputError, match="is incomplete"):
            from_description({name: value for name, value in described.items() if name != missing}, {})
    with pytest.raises(InputError, match="Unknown physical parameter"):
        from_description({**described, "params": {"mass": 1.0}}, {})
