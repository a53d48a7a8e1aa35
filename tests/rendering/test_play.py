"""The play window: display of a policy, and manual pushes of its cart."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from cartpole_phys.batch import move
from cartpole_phys.play import Game, Keys, PlaySession, play_in_window
from cartpole_phys.policies.controllers import proportional, uniform
from cartpole_phys.policies.network import NetworkPolicy, compiled_network
from cartpole_phys.policies.resolve import named_policy
from cartpole_phys.rendering.window import load_pygame
from cartpole_phys.rollouts.collect import play
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from tests.support.commands import without_notice
from tests.support.networks import described


class ZeroPolicy:
    """A Python policy with zero force."""

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        self.batch_size = batch_size

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        return ActionBatch(np.zeros((self.batch_size, 1), np.float32), {})


@pytest.fixture
def pygame(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Set up pygame with a dummy display and return the module."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    module = load_pygame()
    module.display.quit()
    yield module
    module.display.quit()


@pytest.mark.parametrize("push_rate", [0.0, 10.0])
@pytest.mark.parametrize(
    "policy",
    [
        uniform(),
        proportional(1.2, True),
        compiled_network(*described("tanh_gaussian")),
        NetworkPolicy(*described("tanh_gaussian")),
    ],
)
def test_episodes_without_shoves_equal_a_rollout(
    policy: CompiledPolicy | NetworkPolicy, push_rate: float
) -> None:
    system = CartPole(push_rate=push_rate)
    # A Python policy samples per batch of episodes, and here each episode is a separate batch.
    episodes = play(system, policy, 2 if isinstance(policy, CompiledPolicy) else 1, seed=4)
    game, pushes = Game(system, policy, seed=4), iter(episodes.infos["push"])
    for recorded in episodes:
        for t in range(len(recorded.actions)):
            assert game.columns.observe()[0].tobytes() == recorded.observations[t].tobytes()
            game.step()
            assert game.columns.pushes[0] == next(pushes)
        assert game.over
        assert game.terminated == recorded.terminated
        assert game.total == recorded.rewards.sum()
        assert game.elapsed == len(recorded.rewards)
        with pytest.raises(ResetNeeded):
            game.step()
        game.restart()
    assert game.elapsed == 0


@pytest.mark.parametrize("shove", [5.0, -5.0])
def test_shove_adds_its_force(shove: float) -> None:
    system = CartPole()
    game = Game(system, ZeroPolicy(), seed=0)
    game.columns.states[:, 0] = 0.0
    expected = np.zeros((4, 1))
    game.step(shove)
    move(system, expected, np.array([shove]))
    np.testing.assert_array_equal(game.columns.states, expected)
    # Upright at rest: a = F / (M + m − ¾ m), integrated for one step of semi-implicit Euler.
    speed = system.params.time_step * shove / (1.0 + 0.1 / 4)
    assert game.columns.states[1, 0] == pytest.approx(speed, rel=1e-12)


def test_shove_is_added_to_random_pushes() -> None:
    system = CartPole(push_rate=50.0)
    alone, shoved = (Game(system, uniform(), seed=1) for _ in range(2))
    for _ in range(5):
        alone.step()
        shoved.step(3.0)
        assert alone.columns.pushes[0] != 0
        assert shoved.columns.pushes[0] == alone.columns.pushes[0] + 3.0


@pytest.mark.parametrize("name", ["lqr", "heuristic"])
@pytest.mark.parametrize("env_id", ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0"])
def test_good_policies_survive_the_default_shove(name: str, env_id: str) -> None:
    system = CartPole.from_id(env_id)
    game = Game(system, named_policy(name, system), seed=0)
    while not game.over:
        game.step(5.0 if 100 <= game.elapsed < 110 else 0.0)
    assert game.total == 500


def test_keys(pygame: Any) -> None:
    def event(kind: str, key: str) -> Any:
        return pygame.event.Event(getattr(pygame, kind), key=getattr(pygame, f"K_{key}"))

    keys = Keys()
    assert keys.side == 0
    keys.read([event("KEYDOWN", "RIGHT")])
    assert keys.side == 1
    keys.read([])
    assert keys.side == 1  # still pressed
    keys.read([event("KEYDOWN", "LEFT")])
    assert keys.side == 0  # both directions cancel
    keys.read([event("KEYUP", "RIGHT"), event("KEYDOWN", "r")])
    assert (keys.side, keys.restart) == (-1, True)
    keys.read([event("KEYUP", "LEFT"), event("KEYDOWN", "SPACE")])
    assert (keys.side, keys.restart, keys.paused) == (0, False, True)
    keys.read([event("KEYDOWN", "LEFT"), event("KEYUP", "LEFT"), event("KEYDOWN", "SPACE")])
    assert (keys.side, keys.paused) == (-1, False)  # a short tap counts once
    keys.read([])
    assert keys.side == 0
    for last in (event("KEYDOWN", "q"), event("KEYDOWN", "ESCAPE"), pygame.event.Event(pygame.QUIT)):
        keys = Keys()
        keys.read([last])
        assert keys.quit


def _elapsed_steps(game: Game, playing: PlaySession, keys: Keys, frames: int) -> list[int]:
    """Advance by ``frames`` frames and return the step counts."""
    steps = []
    for _ in range(frames):
        assert playing.advance(keys)
        steps.append(game.elapsed)
    return steps


def test_pause_restart_and_quit(pygame: Any) -> None:
    game = Game(CartPole(), uniform(), seed=0)
    messages: list[str] = []
    playing, keys = PlaySession(game, 5.0, 2, messages.append), Keys()
    assert playing.frames_per_second == pytest.approx(50)
    assert _elapsed_steps(game, playing, keys, 3) == [1, 2, 3]
    keys.paused = True
    assert _elapsed_steps(game, playing, keys, 3) == [3, 3, 3]
    keys.paused, keys.restart = False, True
    assert _elapsed_steps(game, playing, keys, 1) == [0]
    assert game.episode == 1
    keys.restart = False
    frames = 0
    while playing.advance(keys):
        frames += 1
        assert frames < 1_100
    assert len(messages) == 2  # the restarted episode does not count
    assert messages[0].startswith("episode 1: return ")
    assert messages[0].endswith("terminated")
    assert game.episode == 2
    keys.quit = True
    assert not playing.advance(keys)


def test_short_time_steps_share_a_frame() -> None:
    game = Game(CartPole.from_arguments("balance", True, {"params": {"time_step": 0.001}}), uniform(), 0)
    playing = PlaySession(game, 5.0, None)
    assert playing.frames_per_second == pytest.approx(62.5)
    playing.advance(Keys())
    assert game.elapsed == 16


def test_window_shoves_while_a_key_is_pressed(pygame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key events pass through SDL's event queue; the window uses a dummy display."""
    game = Game(CartPole(), ZeroPolicy(), seed=0)
    pushes: list[float] = []
    script = {
        2: ("KEYDOWN", "RIGHT"),
        4: ("KEYUP", "RIGHT"),
        6: ("KEYDOWN", "LEFT"),
        8: ("KEYDOWN", "ESCAPE"),
    }

    def step(shove: float = 0.0) -> None:
        Game.step(game, shove)
        pushes.append(float(game.columns.pushes[0]))
        if len(pushes) in script:
            kind, key = script[len(pushes)]
            pygame.event.post(pygame.event.Event(getattr(pygame, kind), key=getattr(pygame, f"K_{key}")))

    monkeypatch.setattr(game, "step", step)
    play_in_window(game, PlaySession(game, 4.0, None), "still")
    assert pushes == [0, 0, 4, 4, 0, 0, -4, -4]
    assert not pygame.display.get_init()  # closed


@pytest.mark.parametrize("shove", [-1.0, float("nan"), float("inf")])
def test_invalid_numbers_are_rejected(shove: float) -> None:
    game = Game(CartPole(), uniform(), 0)
    with pytest.raises(InputError, match="--shove"):
        PlaySession(game, shove, None)
    with pytest.raises(InputError, match="--episodes"):
        PlaySession(game, 1.0, 0)
    with pytest.raises(InputError, match="seed"):
        Game(CartPole(), uniform(), -1)


PROGRAM = "from cartpole_phys.cli import main; main()"


def _environment(**variables: str) -> dict[str, str]:
    gone = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    return {**{key: value for key, value in os.environ.items() if key not in gone}, **variables}


def _run(*words: str, program: str = PROGRAM, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, "play", *words]
    return subprocess.run(command, env=_environment(**variables), capture_output=True, text=True, timeout=120)


def test_command_plays_all_episodes() -> None:
    result = _run("--policy", "random", "--episodes", "1", "--seed", "1", SDL_VIDEODRIVER="dummy")
    assert result.returncode == 0
    assert without_notice(result.stderr) == ""
    expected = play(CartPole(), uniform(), 1, seed=1)
    assert result.stdout == (
        f"episode 0: return {expected.returns[0]:.1f} after {expected.steps} steps, terminated\n"
    )


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (PROGRAM, "there is no display"),
        (f"import sys; sys.modules['pygame'] = None; {PROGRAM}", "pip install"),
    ],
)
def test_missing_display_or_pygame_is_a_one_line_error(program: str, words: str) -> None:
    result = _run(program=program)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_ctrl_c_ends_with_130() -> None:
    with subprocess.Popen(
        [sys.executable, "-uc", PROGRAM, "play", "--policy", "random"],
        env=_environment(SDL_VIDEODRIVER="dummy"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("episode 0")
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in stderr
