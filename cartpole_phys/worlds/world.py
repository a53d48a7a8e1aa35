"""What a data set needs of an environment, be it this package's or any other that Gymnasium knows."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Protocol

from gymnasium import spaces

from cartpole_phys.actions import ActionSpace
from cartpole_phys.episodes import Episodes
from cartpole_phys.system import CartPole
from cartpole_phys.worlds.batches import Needed, OnEpisodes, nobody
from cartpole_phys.worlds.foreign import foreign_world
from cartpole_phys.worlds.native import native_world
from cartpole_phys.worlds.rows import Array, Flags, Layout
from cartpole_phys.worlds.sources import PolicySource

OWN_MODULE = "cartpole_phys:"  # as in ``gym.make("cartpole_phys:PhysCartPole-v0")``


class World(Protocol):
    """One environment id with its arguments, as data sets see it.

    ``native.NativeWorld`` is one for this package's ids, ``foreign.ForeignWorld`` for all others.
    """

    @property
    def env_id(self) -> str:
        """As for ``gym.make``."""
        ...

    @property
    def env_kwargs(self) -> Mapping[str, Any]:
        """Arguments for the environment, as JSON can hold them."""
        ...

    @property
    def action_space(self) -> ActionSpace:
        """Of one environment: vectors between finite bounds, or one of n choices."""
        ...

    @property
    def observation_space(self) -> spaces.Box:
        """Of one environment; data sets hold observations as float32."""
        ...

    @property
    def max_episode_steps(self) -> int:
        """After how many steps episodes are truncated."""
        ...

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers rather than one of n choices."""
        ...

    @property
    def info_arrays(self) -> Layout:
        """Type and shape of a row of every info that each file of this world holds."""
        ...

    @property
    def system(self) -> CartPole | None:
        """Physics and task of this package's environments, None for others."""
        ...

    def stream(
        self, source: PolicySource, seed: int, needed: Needed, jobs: int = 1
    ) -> Generator[Episodes, None, None]:
        """Episodes 0, 1, 2, … of a seed, batch by batch.

        Args:
            source: a policy, a behaviour or a function of no arguments that returns a policy.
            seed: decides every start and every random choice of the policy.
            needed: how many episodes it takes in all, from how many there are and their steps; asked again
                after each batch. There may come some more, where a batch must not depend on it.
            jobs: how many threads or processes play; the rows do not depend on it.

        Raises:
            InputError: if the policy does not suit the world, or cannot be sent to other processes.
        """
        ...

    def play(
        self, source: PolicySource, episodes: int, seed: int, jobs: int = 1, told: OnEpisodes = nobody
    ) -> Episodes:
        """The first ``episodes`` episodes of a seed, in full: what an evaluation needs.

        Args:
            source: as for ``stream``.
            episodes: how many.
            seed: as for ``stream``.
            jobs: as for ``stream``.
            told: is called with the number of finished episodes and ``episodes``, batch by batch.

        Raises:
            InputError: if ``episodes`` is below 1, or as for ``stream``.
        """
        ...

    def differences(self, rows: Mapping[str, Array], independent: bool = False) -> Mapping[str, Flags]:
        """Which rows are not what their state, action and further infos give, by kind, each (N,).

        Kinds are "observation" (an episode's first), "next state", "next observation", "reward" and
        "terminal flag"; "parameters" where they are drawn; "state" where it is stored twice.

        Args:
            rows: D4RL's arrays of whole episodes, flags included, by name.
            independent: by another way than the one that rollouts are made with, where there is one.

        Raises:
            NotReplayable: if the steps cannot be repeated; the message says why.
        """
        ...


def world_of(env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> World:
    """The world of an environment id, with keyword arguments as for ``gym.make``.

    Raises:
        InputError: on an unknown id or argument, a missing module, spaces that data sets do not hold, or
            an environment without a time limit.
    """
    env_id = env_id.removeprefix(OWN_MODULE)
    if env_id in CartPole.known_ids():
        return native_world(env_id, env_kwargs or {})
    return foreign_world(env_id, env_kwargs or {})
