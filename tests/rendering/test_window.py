"""The human render mode: a window in real time, as in Gymnasium's environments."""

import copy
import os
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled
from gymnasium.utils.env_checker import check_env

import cartpole_phys
from cartpole_phys.rendering.window import Window, load_pygame
from cartpole_phys.sb3 import PhysCartPoleVecEnv
from cartpole_phys.utils.errors import InputError

gym.register_envs(cartpole_phys)

PICTURE = np.full((30, 40, 3), 7, np.uint8)
IDS = ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0", "PhysCartPoleSwingUp-v0"]


@pytest.fixture(autouse=True)
def pygame(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Set up pygame with a dummy display and return the module."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    module = load_pygame()
    module.display.quit()
    yield module
    module.display.quit()


def _is_open(pygame: Any) -> bool:
    return pygame.display.get_init() and pygame.display.get_surface() is not None


@pytest.mark.parametrize("env_id", IDS)
def test_env_checker_passes(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, render_mode="human").unwrapped)


def test_reset_and_step_render_and_close_is_idempotent(pygame: Any) -> None:
    env: Any = gym.make(IDS[0], render_mode="human")
    assert not _is_open(pygame)
    for _ in range(2):
        env.reset(seed=0)
        assert _is_open(pygame)
        before = pygame.surfarray.array3d(pygame.display.get_surface())
        for _ in range(5):
            env.step(np.ones(1, np.float32))
        assert (pygame.surfarray.array3d(pygame.display.get_surface()) != before).any()
        assert env.render() is None
        env.close()
        env.unwrapped.close()
        assert not _is_open(pygame)


def test_window_shows_the_rgb_array(pygame: Any) -> None:
    human: Any = gym.make(IDS[0], render_mode="human")
    array: Any = gym.make(IDS[0], render_mode="rgb_array")
    for env in (human, array):
        env.reset(seed=1)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).transpose(
        1, 0, 2
    )  # (W, H, 3) -> (H, W, 3)
    np.testing.assert_array_equal(shown, array.render())
    human.close()


def test_vector_environments_share_a_window(pygame: Any) -> None:
    envs: Any = gym.make_vec(IDS[0], num_envs=4, render_mode="human")
    envs.reset(seed=0)
    envs.step(np.zeros((4, 1), np.float32))
    assert pygame.display.get_surface().get_size() == (1200, 600)
    assert envs.render() is None
    envs.close()
    assert not _is_open(pygame)
    mosaic: Any = gym.make_vec(IDS[0], num_envs=4, render_mode="rgb_mosaic")
    mosaic.reset(seed=0)
    assert mosaic.render().shape == (600, 1200, 3)
    assert mosaic.call("render")[0].shape == (300, 600, 3)


def test_environments_of_a_vector_open_no_windows(pygame: Any) -> None:
    envs: Any = gym.make_vec(
        IDS[0], num_envs=4, render_mode="human", autoreset_mode="SameStep", push_rate=1.0
    )
    envs.reset(seed=0)
    adapter = PhysCartPoleVecEnv(envs)
    assert adapter.render_mode == "human"
    for use in (lambda: envs.call("reset"), adapter.render, lambda: adapter.render("human")):
        use()
        assert pygame.display.get_surface().get_size() == (1200, 600)
    envs.close()
    assert not _is_open(pygame)


def test_list_mode_collects_frames() -> None:
    env: Any = gym.make(IDS[0], render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    assert [frame.shape for frame in env.render()] == [(300, 600, 3)] * 2


def test_unknown_render_mode_error_lists_the_valid_modes() -> None:
    with (
        pytest.warns(UserWarning, match="not in the possible render_modes"),  # warning of Gymnasium
        pytest.raises(InputError, match=r"'ansi'; choose from human, rgb_array, or None\."),
    ):
        gym.make(IDS[0], render_mode="ansi")
    with pytest.raises(InputError, match="rgb_mosaic"):
        gym.make_vec(IDS[0], render_mode="ansi")


def test_frame_rate_matches_the_time_step() -> None:
    for env_id, time_step, rate in ((IDS[0], 0.02, 50), (IDS[2], 0.01, 100), (IDS[0], 4.0, 1)):
        env = gym.make(env_id, params={"time_step": time_step})
        assert env.metadata["render_fps"] == rate
    window = Window(100)
    window.show(PICTURE)
    start = time.perf_counter()
    for _ in range(10):
        window.show(PICTURE)
    assert 0.08 < time.perf_counter() - start < 1.0


def test_closing_the_window_does_not_end_the_program(pygame: Any) -> None:
    window = Window(4)
    window.show(PICTURE)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.show(PICTURE)
    assert not _is_open(pygame)
    start = time.perf_counter()
    for _ in range(5):
        window.show(PICTURE)
    assert time.perf_counter() - start < 0.25
    assert not _is_open(pygame)
    window.close()
    window.show(PICTURE)
    assert _is_open(pygame)


def test_window_survives_pygame_quit_by_other_environments(pygame: Any) -> None:
    env: Any = gym.make(IDS[0], render_mode="human")
    other: Any = gym.make("CartPole-v1", render_mode="human")
    env.reset(seed=0)
    other.reset(seed=0)
    other.close()
    assert not _is_open(pygame)
    env.step(np.zeros(1, np.float32))
    assert _is_open(pygame)
    assert pygame.display.get_surface().get_size() == (600, 300)


def test_copies_have_no_open_window(pygame: Any) -> None:
    env: Any = gym.make(IDS[0], render_mode="human").unwrapped
    env.reset(seed=0)
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):  # noqa: S301 - made on the line itself
        np.testing.assert_array_equal(twin.state, env.state)
        twin.step(np.zeros(1, np.float32))
    env.step(np.zeros(1, np.float32))


def test_visible_window_requires_a_display() -> None:
    program = (
        "import numpy as np; from cartpole_phys.rendering.window import Window\n"
        "Window(50).show(np.zeros((9, 9, 3), np.uint8))\n"
        "Window(50, must_be_seen=True).show(np.zeros((9, 9, 3), np.uint8))"
    )
    headless = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    del headless["SDL_VIDEODRIVER"]
    for variables in ({}, {"DISPLAY": ":4711"}):
        result = subprocess.run(
            [sys.executable, "-c", program], env={**headless, **variables}, capture_output=True, text=True
        )
        assert "InputError: Cannot open a window" in result.stderr
        assert "line 3" in result.stderr


def test_missing_video_driver_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    with pytest.raises(InputError, match="Cannot open a window: nonsense not available"):
        Window(50).show(PICTURE)


def test_missing_pygame_error_contains_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DependencyNotInstalled, match="pip install"):
        Window(50)
