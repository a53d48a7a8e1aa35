"""What a data set needs of an environment, be it this package's or any other that Gymnasium knows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import reduce
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from cartpole_phys.backends.workers import Needed, OnEpisodes, no_progress
from cartpole_phys.episodes import Episodes
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.spaces import ActionSpace
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array, Flags, IntArray


class Backend(Protocol):
    """One environment id with its arguments, as data sets see it.

    ``native.NativeBackend`` is one for this package's ids, ``foreign.GymnasiumBackend`` for all others.
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
        """Type and shape of a row of every info that each file of this backend holds."""
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
            InputError: if the policy does not suit the backend, or cannot be sent to other processes.
        """
        ...

    def play(
        self,
        source: PolicySource,
        episodes: int,
        seed: int,
        jobs: int = 1,
        on_progress: OnEpisodes = no_progress,
    ) -> Episodes:
        """The first ``episodes`` episodes of a seed, in full: what an evaluation needs.

        Args:
            source: as for ``stream``.
            episodes: how many.
            seed: as for ``stream``.
            jobs: as for ``stream``.
            on_progress: is called with the number of finished episodes and ``episodes``, batch by batch.

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


Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # of arrays by name: type, and shape of a row

FLAGS: Layout = {"rewards": ("<f4", ()), "terminals": ("|b1", ()), "timeouts": ("|b1", ())}


class NotReplayable(Exception):  # noqa: N818 - it is a verdict, not an error
    """The steps of some rows cannot be repeated; the message says why."""


class UnknownState(NotReplayable):
    """No step of the environment can be repeated, whatever the rows: its state is out of reach."""


def require(rows: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """The arrays of a layout, in its types.

    Raises:
        NotReplayable: if one is missing, or has other rows or another kind of numbers.
    """
    taken = {}
    for name, (dtype, trailing) in layout.items():
        if name not in rows:
            raise NotReplayable(f"there is no {name}")
        array = rows[name]
        if array.shape != (len(rows["rewards"]), *trailing):
            raise NotReplayable(f"{name} has rows of shape {array.shape[1:]}, this environment {trailing}")
        if dtype != "|b1" and not np.can_cast(array.dtype, dtype, "same_kind"):
            raise NotReplayable(f"{name} is {array.dtype}, expected {dtype}")
        taken[name] = array.astype(dtype, copy=False)
    return taken


def different(a: Array, b: Array) -> Flags:
    """Which rows of two arrays of one type differ in any bit, shape (N,)."""
    if not a.size:
        return np.zeros(len(a), np.bool_)
    width = a[:1].nbytes
    bits = np.uint64 if width % 8 == 0 else f"u{a.itemsize}"
    words = zip(_flat(a, bits).T, _flat(b, bits).T, strict=True)  # (N, words) -> (words, N)
    # Word by word: NumPy's reduction over so short an axis takes ten times as long.
    return reduce(np.logical_or, (mine != other for mine, other in words))


def _flat(array: Array, bits: Any) -> Array:
    flat = np.ascontiguousarray(array).reshape(-1)  # (N, …) -> (values,)
    return flat.view(bits).reshape(len(array), -1)  # -> (N, words)


def followed(rows: Mapping[str, Array]) -> Flags:
    """Which rows are followed by a row of the same episode, shape (N,)."""
    within = ~(rows["terminals"].astype(np.bool_) | rows["timeouts"].astype(np.bool_))
    within[-1:] = False
    return within


def elapsed(within: Flags) -> IntArray:
    """How many steps of its episode came before each row, shape (N,), from ``followed``."""
    index = np.arange(len(within))
    starts = np.append(True, ~within[:-1])[: len(within)]
    return index - np.maximum.accumulate(np.where(starts, index, 0))


def changed_next(within: Flags, computed: Array, stored: Array) -> Flags:
    """Where what was ``computed`` after a row is not what is ``stored`` at the row that follows, (N,)."""
    wrong = np.zeros(len(within), dtype=np.bool_)
    wrong[:-1] = within[:-1] & different(computed[:-1], stored[1:])
    return wrong


class HasPolicy(Protocol):
    """Something that makes its policy anew each time it is asked, such as a behaviour.

    It may have a ``batch_policy`` too: the same policy in Python, for backends that no kernel knows.
    """

    @property
    def policy(self) -> Policy | CompiledPolicy:
        """The policy."""
        ...


PolicySource = Policy | CompiledPolicy | HasPolicy | Callable[[], Policy | CompiledPolicy]


def policy_of(source: PolicySource, in_python: bool = False) -> Policy | CompiledPolicy:
    """The policy of a source: itself, what it makes, or what it returns when called.

    Args:
        source: a policy, a behaviour, or a function of no arguments.
        in_python: whether a ``batch_policy`` is wanted where there is one.
    """
    given: Any = source
    policy: Policy | CompiledPolicy
    if isinstance(given, type):
        policy = given()
    elif isinstance(given, CompiledPolicy) or hasattr(given, "act"):
        policy = given
    elif in_python and hasattr(type(given), "batch_policy"):
        policy = given.batch_policy
    elif hasattr(type(given), "policy"):
        policy = given.policy
    else:
        policy = given()
    return policy
