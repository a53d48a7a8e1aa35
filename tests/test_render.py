"""The picture says what the state is."""

import numpy as np
import pytest

from cartpole_phys.columns import Columns
from cartpole_phys.render import CART, POLE, draw
from cartpole_phys.simulator import CartPole


def _centre_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 10).all(axis=2))
    return np.array([columns.mean(), rows.mean()])


def _picture(state: list[float], share: float = 0.0) -> np.ndarray:
    columns = Columns(CartPole(), 1)
    columns.states[:, 0], columns.actions[0] = state, share
    return draw(columns, 0)


def test_cart_moves_right_with_x_and_pole_leans_with_theta() -> None:
    middle, right, leaning = (_picture([x, 0.0, theta, 0.0]) for x, theta in ((0, 0), (1, 0), (0, 0.2)))
    assert middle.shape == (300, 600, 3)
    assert middle.dtype == np.uint8
    assert _centre_of(right, CART)[0] - _centre_of(middle, CART)[0] == pytest.approx(100, abs=3)
    assert _centre_of(leaning, POLE)[0] > _centre_of(middle, POLE)[0] + 5
    np.testing.assert_allclose(_centre_of(leaning, CART), _centre_of(middle, CART), atol=2)


def test_force_arrow_points_along_the_force() -> None:
    still, left, right = (_picture([0.0] * 4, share).astype(int) for share in (0.0, -0.8, 0.8))
    assert np.abs(left - still)[:, :300].sum() > np.abs(left - still)[:, 300:].sum()
    assert np.abs(right - still)[:, 300:].sum() > np.abs(right - still)[:, :300].sum()
