"""The picture says what the state is."""

import numpy as np
import pytest

from cartpole_phys.render import CART, POLE, draw
from cartpole_phys.simulator import CartPole


def _centre_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 10).all(axis=2))
    return np.array([columns.mean(), rows.mean()])


def test_cart_moves_right_with_x_and_pole_leans_with_theta() -> None:
    system = CartPole()
    middle = draw(np.array([0.0, 0, 0, 0]), 0.0, system)
    right = draw(np.array([1.0, 0, 0, 0]), 0.0, system)
    leaning = draw(np.array([0.0, 0, 0.2, 0]), 0.0, system)
    assert middle.shape == (300, 600, 3)
    assert middle.dtype == np.uint8
    assert _centre_of(right, CART)[0] - _centre_of(middle, CART)[0] == pytest.approx(100, abs=3)
    assert _centre_of(leaning, POLE)[0] > _centre_of(middle, POLE)[0] + 5
    np.testing.assert_allclose(_centre_of(leaning, CART), _centre_of(middle, CART), atol=2)


def test_force_arrow_points_along_the_force() -> None:
    system = CartPole()
    still, left, right = (draw(np.zeros(4), force, system).astype(int) for force in (0.0, -8.0, 8.0))
    assert np.abs(left - still)[:, :300].sum() > np.abs(left - still)[:, 300:].sum()
    assert np.abs(right - still)[:, 300:].sum() > np.abs(right - still)[:, :300].sum()
