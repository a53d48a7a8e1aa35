"""``Backend``: the interface that data sets use for this package's and any other Gymnasium environments."""

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
    """One environment id with its arguments: spaces, rollouts and replay.

    ``NativeBackend`` implements it for this package's ids, ``GymnasiumBackend`` for all others.
    """

    @property
    def env_id(self) -> str:
        """The environment id, as for ``gym.make``."""

    @property
    def env_kwargs(self) -> Mapping[str, Any]:
        """Environment arguments in JSON types."""

    @property
    def action_space(self) -> ActionSpace:
        """The action space of one environment: vectors with finite bounds, or n choices."""

    @property
    def observation_space(self) -> spaces.Box:
        """The observation space of one environment; data sets hold observations as float32."""

    @property
    def max_episode_steps(self) -> int:
        """The time limit of episodes, in steps."""

    @property
    def continuous(self) -> bool:
        """Whether actions are continuous."""

    @property
    def info_arrays(self) -> Layout:
        """Type and row shape of all infos in files of this backend."""

    @property
    def system(self) -> CartPole | None:
        """Physics and task of this package's environments, None for others."""

    def stream(
        self, source: PolicySource, seed: int, needed: Needed, jobs: int = 1
    ) -> Generator[Episodes, None, None]:
        """Generate episodes 0, 1, 2, … of a seed, batch by batch.

        Args:
            source: a policy, a behavior policy's description, or a function that returns a policy.
            seed: random seed of start states and policy.
            needed: returns the total number of episodes to play, given the number and the steps of those
                played so far; called again after each batch. Batches of fixed size may exceed it.
            jobs: number of threads or processes; the rows do not depend on it.

        Raises:
            InputError: if the policy is incompatible with the backend, or cannot be sent to other processes.
        """

    def play(
        self,
        source: PolicySource,
        episodes: int,
        seed: int,
        jobs: int = 1,
        on_progress: OnEpisodes = no_progress,
    ) -> Episodes:
        """Play the first ``episodes`` episodes of a seed to their ends, as for an evaluation.

        Args:
            source: as for ``stream``.
            episodes: number of episodes.
            seed: as for ``stream``.
            jobs: as for ``stream``.
            on_progress: called with the number of finished episodes and ``episodes`` after each batch.

        Raises:
            InputError: if ``episodes`` is below 1, or as for ``stream``.
        """

    def differences(self, rows: Mapping[str, Array], independent: bool = False) -> Mapping[str, Flags]:
        """Replay rows from their states and actions, and return masks (N,) of differing rows, by kind.

        Kinds are "observation" (an episode's first), "next state", "next observation", "reward" and
        "terminal flag"; "parameters" if they are randomized; "state" if it is stored redundantly.

        Args:
            rows: D4RL arrays of whole episodes, including flags, by name.
            independent: use an implementation other than that of rollouts, if there is one.

        Raises:
            NotReplayable: if the steps cannot be replayed; the message is the reason.
        """


Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # array name -> type and row shape

FLAGS: Layout = {"rewards": ("<f4", ()), "terminals": ("|b1", ()), "timeouts": ("|b1", ())}


class NotReplayable(Exception):  # noqa: N818 - a result of validation, not an error
    """The steps of some rows cannot be replayed; the message is the reason."""


class UnknownState(NotReplayable):
    """No step of the environment can be replayed, because its state cannot be read or restored."""


def require(rows: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """Select the arrays of a layout, converted to its types.

    Raises:
        NotReplayable: if one is missing, or has another row shape or kind of number.
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
    # Word by word: NumPy's reduction over such a short axis takes ten times as long.
    return reduce(np.logical_or, (mine != other for mine, other in words))


def _flat(array: Array, bits: Any) -> Array:
    flat = np.ascontiguousarray(array).reshape(-1)  # (N, …) -> (values,)
    return flat.view(bits).reshape(len(array), -1)  # -> (N, words)


def followed(rows: Mapping[str, Array]) -> Flags:
    """Mask of rows followed by a row of the same episode, shape (N,)."""
    within = ~(rows["terminals"].astype(np.bool_) | rows["timeouts"].astype(np.bool_))
    within[-1:] = False
    return within


def elapsed(within: Flags) -> IntArray:
    """The step index of each row within its episode, shape (N,), from ``followed``."""
    index = np.arange(len(within))
    starts = np.append(True, ~within[:-1])[: len(within)]
    return index - np.maximum.accumulate(np.where(starts, index, 0))


def changed_next(within: Flags, computed: Array, stored: Array) -> Flags:
    """Mask of rows whose ``computed`` next value differs from the one ``stored`` in the next row, (N,)."""
    wrong = np.zeros(len(within), dtype=np.bool_)
    wrong[:-1] = within[:-1] & different(computed[:-1], stored[1:])
    return wrong


class HasPolicy(Protocol):
    """An object that creates its policy on each access, such as a behavior policy's description.

    It may also have a ``batch_policy``: the same policy in Python, for Gymnasium backends.
    """

    @property
    def policy(self) -> Policy | CompiledPolicy:
        """The policy."""


PolicySource = Policy | CompiledPolicy | HasPolicy | Callable[[], Policy | CompiledPolicy]


def policy_of(source: PolicySource, in_python: bool = False) -> Policy | CompiledPolicy:
    """The policy of a source: the source itself, its ``policy``, or its return value when called.

    Args:
        source: a policy, a behavior policy's description, or a function of no arguments.
        in_python: whether to prefer ``batch_policy``.
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
