"""Drawing: the frame shows the state, force, angle and limits."""

import math

import numpy as np
import pytest

from cartpole_phys.batch import Columns
from cartpole_phys.rendering.draw import ARC, CART, FALL, FORCE, GRID, POLE, PUSH, draw, draw_mosaic
from cartpole_phys.system import CartPole


def _where(frame: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Return the columns and rows (2, n) of the pixels of a color."""
    rows, columns = np.nonzero((np.abs(frame.astype(int) - color) < 10).all(axis=2))
    return np.array([columns, rows])


def _center_of(frame: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return _where(frame, color).mean(axis=1)


def _columns(task: str, states: list[list[float]], half_length: float = 0.5) -> Columns:
    params = {"half_length": half_length}
    columns = Columns(CartPole.from_arguments(task, True, {"params": params}), len(states))
    columns.states[:] = np.array(states).T  # (n, 4) -> (4, n)
    return columns


def _frame(
    state: list[float], share: float = 0.0, push: float = 0.0, task: str = "balance", half_length: float = 0.5
) -> np.ndarray:
    columns = _columns(task, [state], half_length)
    columns.actions[0], columns.pushes[0] = share, push
    return draw(columns, 0)


def test_cart_position_and_pole_angle_match_the_state() -> None:
    middle, right, leaning = (_frame([x, 0.0, theta, 0.0]) for x, theta in ((0, 0), (1, 0), (0, 0.2)))
    assert middle.shape == (300, 600, 3)
    assert middle.dtype == np.uint8
    assert middle.flags.writeable
    assert _center_of(right, CART)[0] - _center_of(middle, CART)[0] == pytest.approx(100, abs=3)
    assert _center_of(leaning, POLE)[0] > _center_of(middle, POLE)[0] + 5
    np.testing.assert_allclose(_center_of(leaning, CART), _center_of(middle, CART), atol=2)


@pytest.mark.parametrize("color", [FORCE, PUSH])
def test_arrows_point_in_the_direction_of_the_force(color: tuple[int, int, int]) -> None:
    for sign in (-1.0, 1.0):
        share, push = (sign * 0.8, 0.0) if color == FORCE else (0.0, sign * 8.0)
        frame = _frame([0.0] * 4, share, push)
        assert sign * (_where(frame, color)[0] - 300).min() > -50
        assert sign * (_center_of(frame, color)[0] - 300) > 30
    assert not _where(_frame([0.0] * 4), color).size


def test_arc_lies_between_the_vertical_and_the_pole() -> None:
    for angle in (-0.2, 0.2):
        frame = _frame([0.0, 0.0, angle, 0.0])
        arc = _where(frame[110:], ARC)[0] - 300  # below the number
        assert arc.size
        assert (np.sign(angle) * arc >= -2).all()
        assert abs(arc).max() <= 1.05 * 78 * math.sin(0.2) + 2


def test_angle_label_has_a_resolution_of_a_tenth_of_a_degree() -> None:
    turned = _frame([0.0, 0.0, math.radians(7.04), 0.0])
    more = _frame([0.0, 0.0, math.radians(7.0), 0.0])
    other = _frame([0.0, 0.0, math.radians(7.3), 0.0])
    number = np.s_[:92, 250:350]
    np.testing.assert_array_equal(turned[number], more[number])
    assert (turned[number] != other[number]).any()
    around = _frame([0.0, 0.0, math.radians(7.0) + 2 * math.pi, 0.0])
    np.testing.assert_array_equal(around[number], more[number])


def test_angle_limits_are_drawn_in_the_balance_task_only() -> None:
    x, y = _where(_frame([0.0] * 4), FALL)
    degrees = np.degrees(np.arctan2(x - 300, 208 - y))
    far = y < 150
    np.testing.assert_allclose(abs(degrees[far]), 12, atol=1)
    assert not _where(_frame([0.0] * 4, task="swing_up"), FALL).size


@pytest.mark.parametrize("half_length", [0.05, 0.5, 1.5])
@pytest.mark.parametrize(
    ("task", "angle"), [("balance", 0.0), ("balance", 0.2), *(("swing_up", a) for a in (0.0, 1.6, 3.14))]
)
def test_pole_is_inside_the_frame(task: str, angle: float, half_length: float) -> None:
    frame = _frame([0.0, 0.0, angle, 0.0], task=task, half_length=half_length)
    x, y = _where(frame, POLE)
    height, width, _ = frame.shape
    assert 4 < x.min() <= x.max() < width - 5
    assert 4 < y.min() <= y.max() < height - 5
    assert _where(frame, ARC)[1].min() > 2  # the number above it


def test_hanging_pole_is_below_the_cart() -> None:
    frame = _frame([0.0, 0.0, math.pi, 0.0], task="swing_up")
    assert frame.shape == (360, 600, 3)
    assert _where(frame, POLE)[1].max() > _where(frame, CART)[1].max() + 40


def test_scale_is_constant_under_randomization() -> None:
    system = CartPole.from_arguments("balance", True, {"randomize": {"half_length": [0.2, 1.5]}})
    columns = Columns(system, 2)
    columns.params[3] = 0.2, 1.5
    short, long = (_where(draw(columns, i), POLE)[1] for i in range(2))
    assert np.ptp(long) > 5 * np.ptp(short)


def test_overflowed_states_are_drawn_without_a_cart() -> None:
    assert not _where(_frame([math.nan, 0.0, math.inf, 0.0]), CART).size
    _frame([1e300, 0.0, 1e300, 0.0], push=math.inf)


def test_note_is_drawn_in_the_corner() -> None:
    columns = _columns("balance", [[0.0] * 4])
    differs = (draw(columns, 0, "return 12") != draw(columns, 0)).any(axis=2)
    assert differs[:30, :200].any()
    assert not differs[30:].any()


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (300, 600, 3)), (2, (300, 1200, 3)), (9, (600, 1200, 3)), (70, (600, 1200, 3))]
)
def test_mosaic_is_nearly_square(count: int, shape: tuple[int, ...]) -> None:
    states = [[0.0, 0.0, 0.1, 0.0]] * count
    mosaic = draw_mosaic(_columns("balance", states))
    assert mosaic.shape == shape


def test_mosaic_shows_one_environment_per_tile() -> None:
    states = [[x, 0.0, 0.0, 0.0] for x in (-2.0, -1.0, 0.0, 1.0, 2.0)]  # 3 × 2 tiles of 400 × 200
    mosaic = draw_mosaic(_columns("balance", states))
    for i, (x, *_) in enumerate(states):
        tile = mosaic[200 * (i // 3) :, 400 * (i % 3) :][2:198, 2:398]
        assert _center_of(tile, CART)[0] == pytest.approx(198 + x * 100 * 400 / 600, abs=2)
    assert not _where(mosaic[200:, 802:], CART).size
    assert (np.abs(mosaic[:, 400].astype(int) - GRID) < 50).all()
