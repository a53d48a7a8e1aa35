"""A policy at work in a window, in real time, and a player who shoves the cart with the arrow keys.

``Game`` is the cart-pole with its policy and knows no window; ``Keys`` is what a player wants, read from
the window's events; ``play_in_window`` brings both together.
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
from cartpole_phys.data.stored_policies import behaviour_of, names_file
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
SHOVE_SHARE = 0.5  # of the largest force: the regulator withstands that for as long as the key is held
MOST_PICTURES = 60  # a second; shorter time steps share a picture
REST = 0.8  # s that the end of an episode stays in view
HELP = "← → shove, R restart, Space pause, Q quit"


class Game:
    """One cart-pole under a policy, advanced step by step with shoves on top.

    Without shoves the episodes of a compiled policy are those of a rollout with the same seed. Those of a
    policy in Python may differ: a rollout lets it act for a batch of episodes at once, with one generator
    for all of them, and here each episode is a batch of its own.
    """

    def __init__(self, system: CartPole, policy: Policy | CompiledPolicy, seed: int) -> None:
        """Begin episode 0 of a seed.

        Raises:
            InputError: on a seed that is no integer of at least 0.
        """
        self.system, self.columns = system, Columns(system, 1)
        self.columns.settings["push_probability"] = 0.0  # pushes are drawn here, to have shoves added
        self.columns.keys[0], self.columns.episodes[0] = key_from_seed(seed), -1
        self._policy: Policy = (
            StepwisePolicy(policy, self.columns) if isinstance(policy, CompiledPolicy) else policy
        )
        self.restart()

    @property
    def episode(self) -> int:
        """The number of the episode, from 0."""
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
        """Begin the next episode."""
        self.columns.episodes[0] += 1
        self.columns.begin()
        self._policy.begin(1, policy_generator(self.columns.keys[0], self.episode))
        self._observations, self._rewards = self.columns.observe(), np.zeros(1)
        self.total, self.fallen = 0.0, False  # return so far; whether the episode ended before its time

    def step(self, shove: float = 0.0) -> None:
        """Advance by one time step, during which ``shove`` newtons act on the cart beside all else.

        Raises:
            ResetNeeded: if the episode is over.
            InputError: if the policy gives an action that is none.
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
        self.fallen = bool(stepped.terminated[0])


class Keys:
    """What the player wants, from the events of the keyboard and of the window's X button.

    An arrow key shoves while it is held, and for one picture at least, however short it was tapped. Key
    presses are followed one by one instead of asking for the keyboard's state, so that none is missed.
    """

    def __init__(self) -> None:
        """Nothing pressed yet."""
        pygame = load_pygame()
        self._pygame = pygame
        self._sides = {pygame.K_LEFT: -1, pygame.K_RIGHT: 1}
        self._held: set[int] = set()
        self._tapped: set[int] = set()
        self.restart = self.paused = self.quit = False

    @property
    def side(self) -> int:
        """Where the player shoves: −1 left, 1 right, 0 not at all or both ways."""
        return sum(self._sides[key] for key in self._held | self._tapped)

    def read(self, events: Iterable[Any]) -> None:
        """Take note of the events since the last picture."""
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


class Playing:
    """What happens from picture to picture: steps, shoves, and what comes after an episode's end."""

    def __init__(
        self, game: Game, shove: float, episodes: int | None, tell: Callable[[str], None] = print
    ) -> None:
        """Play a game.

        Args:
            game: what is played.
            shove: newtons on the cart while an arrow key is held.
            episodes: how many are played to their end; None for no end.
            tell: is given a line on each finished episode.

        Raises:
            InputError: if the shove is not a finite number of at least 0, or there are fewer than 1 episodes.
        """
        if not 0 <= shove < math.inf:
            raise InputError(f"Expected --shove as a finite number of newtons of at least 0, got {shove!r}.")
        if episodes is not None and episodes < 1:
            raise InputError(f"Expected --episodes of at least 1, got {episodes}.")
        self._game, self._shove, self._episodes, self._tell = game, shove, episodes, tell
        time_step = game.system.params.time_step
        self._steps = max(1, int(1 / (MOST_PICTURES * time_step)))  # to a picture
        self.pictures_a_second = 1 / (time_step * self._steps)
        self._finished, self._rest = 0, 0  # episodes; pictures until the next one begins

    def advance(self, keys: Keys) -> bool:
        """Go on to the next picture, and say whether there is one."""
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
                self._rest = max(1, round(REST * self.pictures_a_second))
                self._tell(
                    f"episode {game.episode}: return {game.total:.1f} after {game.elapsed} steps"
                    + (", ended early" if game.fallen else "")
                )
                return


def play_in_window(game: Game, playing: Playing, name: str) -> None:
    """Show a game in a window until it ends or the player has enough.

    Raises:
        DependencyNotInstalled: without pygame.
        InputError: if no window can be opened.
    """
    pygame, keys = load_pygame(), Keys()
    window = Window(playing.pictures_a_second, must_be_seen=True)
    try:
        going = True
        while going:
            state = "   paused" if keys.paused else "   over" if game.over else ""
            note = f"{name}   episode {game.episode}   step {game.elapsed}   return {game.total:.1f}{state}"
            window.present(draw(game.columns, 0, note), f"{TITLE}: {HELP}")
            keys.read(pygame.event.get())
            going = playing.advance(keys)
    finally:
        window.close()


@dataclass(frozen=True)
class Cast:
    """Who plays where."""

    system: CartPole
    policy: Policy | CompiledPolicy
    name: str  # of the policy, for people


def cast_for(policy: str | None, env_id: str | None, env_kwargs: Mapping[str, Any]) -> Cast:
    """The system and the policy for the words of a command.

    Args:
        policy: a name or MODULE:FACTORY, see ``named_policy``, or the path of a data set; None for the
            task's best law.
        env_id: a registered id; None for a data set's own environment or else ``DEFAULT_ENV``.
        env_kwargs: environment arguments; those of a data set's own environment need not be repeated, nor
            the names in its ``params`` and ``randomize`` that are not to change.

    Raises:
        InputError: on anything that does not exist or does not fit together.
    """
    if policy is not None and names_file(policy):
        return _cast_of_file(policy, env_id, env_kwargs)
    system = CartPole.from_id(DEFAULT_ENV if env_id is None else env_id, env_kwargs)
    return Cast(system, named_policy(policy, system), names_for(system)[0] if policy is None else policy)


def _cast_of_file(path: str, env_id: str | None, env_kwargs: Mapping[str, Any]) -> Cast:
    acted = behaviour_of(path)
    own = CartPole.from_id(acted.env_id, acted.env_kwargs)
    at_home = env_id in (None, acted.env_id)
    given = _merged(acted.env_kwargs, env_kwargs) if at_home else env_kwargs
    system = CartPole.from_id(acted.env_id if env_id is None else env_id, given)
    if (system.task.code, system.continuous) != (own.task.code, own.continuous):
        raise InputError(f"The policy of {path!r} acts in {acted.env_id}, which differs from {env_id}.")
    return Cast(system, acted.behaviour.policy, Path(path).stem)


def _merged(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` with what is given in its place; mappings are merged by the names in them."""
    both = {
        name: {**own[name], **value}
        for name, value in given.items()
        if isinstance(value, Mapping) and isinstance(own.get(name), Mapping)
    }
    return {**own, **given, **both}
