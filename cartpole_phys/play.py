"""Interactive play: a policy controls the cart-pole in a window while the user shoves the cart.

``Game`` is the cart-pole with its policy, without a window; ``Keys`` holds the user's input, read from the
window's events; ``play_in_window`` combines them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded

from cartpole_phys.batch import Columns
from cartpole_phys.data.stored_policies import is_dataset_path, stored_policy
from cartpole_phys.kernels.step import draw_pushes
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.resolve import named_policy, names_for
from cartpole_phys.rendering.draw import draw
from cartpole_phys.rendering.window import TITLE, Window, load_pygame
from cartpole_phys.rollouts.lockstep import policy_generator
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy, StepwisePolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

DEFAULT_ENV = "PhysCartPole-v0"
SHOVE_FRACTION = 0.5  # of the full force: the regulator withstands it for as long as the key is held
MAX_FRAME_RATE = 60  # per second; with shorter time steps, a frame covers several steps
REST = 0.8  # s to show the end of an episode
HELP = "← → shove, R restart, Space pause, Q quit"


class Game:
    """One cart-pole under a policy, advanced step by step, with additional shoves.

    Without shoves, the episodes of a compiled policy equal those of a rollout with the same seed. Episodes of
    a Python policy may differ: a rollout queries it for a batch of episodes with one generator, while here
    each episode is a batch of size 1.
    """

    def __init__(self, system: CartPole, policy: Policy | CompiledPolicy, seed: int) -> None:
        """Start episode 0 of a seed.

        Raises:
            InputError: on a seed that is not an integer of at least 0.
        """
        self.system, self.columns = system, Columns(system, 1)
        self.columns.settings["push_probability"] = 0.0  # ``step`` draws pushes itself, to add shoves
        self.columns.keys[0], self.columns.episodes[0] = key_from_seed(seed), -1
        self._policy: Policy = (
            StepwisePolicy(policy, self.columns) if isinstance(policy, CompiledPolicy) else policy
        )
        self.restart()

    @property
    def episode(self) -> int:
        """The index of the episode, from 0."""
        return int(self.columns.episodes[0])

    @property
    def elapsed(self) -> int:
        """Steps of the episode so far."""
        return int(self.columns.elapsed[0])

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return bool(self.columns.done[0])

    def restart(self) -> None:
        """Start the next episode."""
        self.columns.episodes[0] += 1
        self.columns.begin()
        self._policy.begin(1, policy_generator(self.columns.keys[0], self.episode))
        self._observations, self._rewards = self.columns.observe(), np.zeros(1)
        self.total, self.terminated = 0.0, False  # return so far; whether the state is terminal

    def step(self, shove: float = 0.0) -> None:
        """Advance by one time step, with an additional force of ``shove`` newtons on the cart.

        Raises:
            ResetNeeded: if the episode is over.
            InputError: if the policy returns an invalid action.
        """
        if self.over:
            raise ResetNeeded("The episode is over; call restart() first.")
        columns = self.columns
        columns.set_actions(self._policy.act(self._observations, self._rewards).actions)
        draw_pushes(columns.memory, self.system.settings)
        columns.pushes += shove
        stepped = columns.step()
        self._observations, self._rewards = stepped.observations, stepped.rewards
        self.total += float(stepped.rewards[0])
        self.terminated = bool(stepped.terminated[0])


class Keys:
    """The user's input, from events of the keyboard and the window's close button.

    An arrow key shoves while it is held, and for at least one frame, however short the tap. Key events are
    processed instead of polling the keyboard's state, so that no tap is missed.
    """

    def __init__(self) -> None:
        """Start with no key pressed."""
        pygame = load_pygame()
        self._pygame = pygame
        self._sides = {pygame.K_LEFT: -1, pygame.K_RIGHT: 1}
        self._held: set[int] = set()
        self._tapped: set[int] = set()
        self.restart = self.paused = self.quit = False

    @property
    def side(self) -> int:
        """The direction of the shove: −1 left, 1 right, 0 for neither or both."""
        return sum(self._sides[key] for key in self._held | self._tapped)

    def read(self, events: Iterable[Any]) -> None:
        """Process the events since the last frame."""
        self._tapped, self.restart = set(), False
        for event in events:
            if event.type == self._pygame.QUIT:
                self.quit = True
            elif event.type == self._pygame.KEYUP:
                self._held.discard(event.key)
            elif event.type == self._pygame.KEYDOWN:
                self._press(event.key)

    def _press(self, key: int) -> None:
        if key in self._sides:
            self._held.add(key)
            self._tapped.add(key)
        elif key == self._pygame.K_r:
            self.restart = True
        elif key == self._pygame.K_SPACE:
            self.paused = not self.paused
        elif key in (self._pygame.K_ESCAPE, self._pygame.K_q):
            self.quit = True


class PlaySession:
    """The frame loop's logic: steps, shoves, pauses and restarts."""

    def __init__(
        self, game: Game, shove: float, episodes: int | None, report: Callable[[str], None] = print
    ) -> None:
        """Set up a session.

        Args:
            game: the cart-pole and its policy.
            shove: force of a held arrow key, N.
            episodes: number of episodes to play to their end; None for no limit.
            report: called with one line about each finished episode.

        Raises:
            InputError: if the shove is not a finite number of at least 0, or there are fewer than 1 episodes.
        """
        if not 0 <= shove < math.inf:
            raise InputError(f"Expected --shove as a finite number of newtons of at least 0, got {shove!r}.")
        if episodes is not None and episodes < 1:
            raise InputError(f"Expected --episodes of at least 1, got {episodes}.")
        self._game, self._shove, self._episodes, self._report = game, shove, episodes, report
        time_step = game.system.params.time_step
        self._steps = max(1, int(1 / (MAX_FRAME_RATE * time_step)))  # per frame
        self.frames_per_second = 1 / (time_step * self._steps)
        self._finished, self._rest = 0, 0  # episodes; frames until the next episode

    def advance(self, keys: Keys) -> bool:
        """Advance to the next frame, and return whether there is one."""
        game = self._game
        if keys.quit:
            return False
        if keys.restart or (game.over and self._rest <= 1 and not keys.paused):
            if game.over and self._finished == self._episodes:
                return False
            game.restart()
        elif game.over and not keys.paused:
            self._rest -= 1
        elif not keys.paused:
            self._step(keys.side * self._shove)
        return True

    def _step(self, shove: float) -> None:
        game = self._game
        for _ in range(self._steps):
            game.step(shove)
            if game.over:
                self._finished += 1
                self._rest = max(1, round(REST * self.frames_per_second))
                self._report(
                    f"episode {game.episode}: return {game.total:.1f} after {game.elapsed} steps"
                    + (", terminated" if game.terminated else "")
                )
                return


def play_in_window(game: Game, session: PlaySession, name: str) -> None:
    """Show a game in a window until the session ends or the user quits.

    Raises:
        DependencyNotInstalled: without pygame.
        InputError: if no window can be opened.
    """
    pygame, keys = load_pygame(), Keys()
    window = Window(session.frames_per_second, must_be_seen=True)
    try:
        going = True
        while going:
            state = "   paused" if keys.paused else "   over" if game.over else ""
            note = f"{name}   episode {game.episode}   step {game.elapsed}   return {game.total:.1f}{state}"
            window.present(draw(game.columns, 0, note), f"{TITLE}: {HELP}")
            keys.read(pygame.event.get())
            going = session.advance(keys)
    finally:
        window.close()


@dataclass(frozen=True)
class PlaySetup:
    """The system, policy and policy name of a play session."""

    system: CartPole
    policy: Policy | CompiledPolicy
    name: str  # of the policy, for display


def setup_for(policy: str | None, env_id: str | None, env_kwargs: Mapping[str, Any]) -> PlaySetup:
    """Resolve a command's policy and environment.

    Args:
        policy: a name or MODULE:FACTORY, see ``named_policy``, or the path of a data set; None for the
            task's best control law.
        env_id: a registered id; None for the data set's environment, or ``DEFAULT_ENV``.
        env_kwargs: environment arguments, merged into those of the data set's environment (also within
            ``params`` and ``randomize``).

    Raises:
        InputError: if something does not exist, or policy and environment do not match.
    """
    if policy is not None and is_dataset_path(policy):
        return _setup_from_file(policy, env_id, env_kwargs)
    system = CartPole.from_id(DEFAULT_ENV if env_id is None else env_id, env_kwargs)
    return PlaySetup(system, named_policy(policy, system), names_for(system)[0] if policy is None else policy)


def _setup_from_file(path: str, env_id: str | None, env_kwargs: Mapping[str, Any]) -> PlaySetup:
    stored = stored_policy(path)
    own = CartPole.from_id(stored.env_id, stored.env_kwargs)
    same_env = env_id in (None, stored.env_id)
    given = _merged(stored.env_kwargs, env_kwargs) if same_env else env_kwargs
    system = CartPole.from_id(stored.env_id if env_id is None else env_id, given)
    if (system.task.name, system.continuous) != (own.task.name, own.continuous):
        raise InputError(f"The policy of {path!r} acts in {stored.env_id}, which differs from {env_id}.")
    return PlaySetup(system, stored.behavior.policy, Path(path).stem)


def _merged(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` updated with ``given``; values that are mappings are merged key by key."""
    both = {
        name: {**own[name], **value}
        for name, value in given.items()
        if isinstance(value, Mapping) and isinstance(own.get(name), Mapping)
    }
    return {**own, **given, **both}
