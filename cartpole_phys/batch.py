"""A batch of n environments in one array: start, step, observe, snapshot and restore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cartpole_phys.arguments import DEFAULT_START, Start
from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.check_actions import set_continuous_actions, set_discrete_actions
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.kernels.observe import diagnose_columns, observe_kernel, sensor_of
from cartpole_phys.kernels.reset import begin_kernel, restart_kernel
from cartpole_phys.kernels.scalar import begin_one_kernel, step_one_kernel
from cartpole_phys.kernels.step import NO_RESTART, Kind, step_kernel
from cartpole_phys.physics import Params
from cartpole_phys.spaces import executed
from cartpole_phys.system import FRICTION, CartPole
from cartpole_phys.tasks.base import START_BOUND
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Flags, FloatArray, Observations


class Stepped(NamedTuple):
    """The result of one step of n environments."""

    observations: Observations  # (n, obs)
    rewards: FloatArray  # (n,)
    terminated: Flags  # (n,)
    truncated: Flags  # (n,)
    any_done: bool


class Columns:
    """The memory of n environments (one column each), with named views of its rows."""

    def __init__(self, system: CartPole, num_envs: int) -> None:
        """Allocate environments with the system's parameters; no episode has started yet."""
        self.__setstate__((system, np.zeros((m.ROWS, num_envs)), system.settings.copy()))
        self.set_params([system.params])

    def __getstate__(self) -> tuple[CartPole, FloatArray, Settings]:
        """State for pickling and copying, without the views."""
        return self.system, self.memory, self.settings

    def __setstate__(self, state: tuple[CartPole, FloatArray, Settings]) -> None:
        self.system, self.memory, self.settings = state
        counters = self.memory.view(np.int64)
        self.states = self.memory[:4]  # (4, n): x (m), ẋ (m/s), θ (rad), θ̇ (rad/s)
        self.actions, self.pushes = self.memory[m.ACTION], self.memory[m.PUSH]  # (n,) normalized, N
        self.keys = self.memory.view(np.uint64)[m.KEY]  # (n,)
        self.episodes, self.elapsed = counters[m.EPISODE], counters[m.ELAPSED]  # (n,)
        self.done = counters[m.DONE]  # (n,), 1 where the episode is over
        self.params = self.memory[m.PARAMS :]  # (8, n)
        randomized, plain = bool(self.system.randomize), self.system.plain
        observation = self.system.task.observation
        self._begin = begin_kernel(randomized)
        self._restart = restart_kernel(randomized, sensor_of(observation, plain))
        self._observe = observe_kernel(observation, plain)
        self.begin_one = begin_one_kernel(randomized, observation, plain)
        n, continuous = self.memory.shape[1], self.system.continuous
        self._keep = set_continuous_actions if continuous else set_discrete_actions
        self._kept = (np.dtype(np.float32), (n, 1)) if continuous else (np.dtype(np.int64), (n,))
        self.select_kernels()

    def __len__(self) -> int:
        """The number of environments n."""
        return self.memory.shape[1]

    def begin(self, mask: Flags | None = None, start: Start = DEFAULT_START) -> None:
        """Start the episodes with the keys and numbers in memory, where ``mask`` (n,) is set."""
        mask = np.ones(len(self), dtype=np.bool_) if mask is None else mask
        self._begin(self.memory, self.settings, mask, start.low, start.high)
        if start.states is not None:
            self.states[:, mask] = start.states[:, mask]

    def restart(self, observations: Observations) -> Observations:
        """Start the next episode of each finished environment, and overwrite its row of ``observations``.

        Returns:
            the replaced final observations, (k, obs)
        """
        replaced = np.empty((np.count_nonzero(self.done), observations.shape[1]), dtype=np.float32)
        self._restart(self.memory, self.settings, START_BOUND, observations, replaced)
        return replaced

    def set_actions(self, actions: Any, restart: bool = False) -> None:
        """Store the actions (n, 1) or (n,) of the next step.

        Args:
            actions: of all environments.
            restart: whether environments whose episode is over start the next one in that step; their
                actions are then ignored.

        Raises:
            InputError: on a wrong shape or kind of number, or an action outside the space; nothing changes.
        """
        as_kept = type(actions) is np.ndarray and (actions.dtype, actions.shape) == self._kept
        if not (as_kept and self._keep(self.memory, actions)):
            over = self.done == 1 if restart else None
            self._keep(self.memory, executed(self.system.action_space, actions, len(self), over))

    def step(self, restart: bool = False) -> Stepped:
        """Advance all environments by one time step under their actions.

        Args:
            restart: whether environments whose episode is over start the next one instead.
        """
        n = len(self)
        observations = np.empty((n, self.system.task.observation_size), dtype=np.float32)
        rewards, terminated, truncated = np.empty(n), np.empty(n, np.bool_), np.empty(n, np.bool_)
        any_done = self._step(
            self.memory,
            self.settings,
            0,
            n,
            START_BOUND if restart else NO_RESTART,
            observations,
            rewards,
            terminated,
            truncated,
        )
        return Stepped(observations, rewards, terminated, truncated, any_done)

    def observe(self) -> Observations:
        """The observations of all environments, shape (n, obs)."""
        observations = np.empty((len(self), self.system.task.observation_size), dtype=np.float32)
        if self.system.observes_state:  # no kernel to compile, and faster than a cast of the transpose
            for column, row in zip(observations.T, self.states, strict=True):  # (n, 4).T and (4, n)
                column[:] = row
        else:
            self._observe(self.memory, self.settings, observations)
        return observations

    def params_of(self, index: int) -> Params:
        """The physical parameters of one environment."""
        return Params(*self.params[:, index].tolist())

    def set_params(self, params: Sequence[Params]) -> None:
        """Set the parameters of all environments, from one shared set or one set each.

        Randomized parameters last until the next episode.
        """
        self.params[:] = np.array([own.values for own in params]).T  # (1 or n, 8) -> (8, 1 or n)
        self.select_kernels()

    def restore(self, memory: FloatArray) -> None:
        """Overwrite the memory with a copy (ROWS, n) of an earlier one."""
        self.memory[:] = memory
        self.select_kernels()

    def select_kernels(self) -> None:
        """Select the fastest kernels for the parameters: equal or different, with or without friction."""
        alike = not self.system.randomize and (self.params == self.params[:, :1]).all()
        friction = self.system.randomizes(FRICTION) or self.memory[m.CART_FRICTION].any()
        system, task = self.system, self.system.task
        kind = Kind(bool(alike), bool(friction), task.reward, task.observation, system.plain)
        self._step = step_kernel(system.integrator, kind)
        self.step_one = step_one_kernel(system.integrator, *kind[1:])

    def diagnostics(self) -> dict[str, FloatArray]:
        """Energy (J), and margins to the termination thresholds in x (m) and θ (rad), each (n,)."""
        values = np.empty((3, len(self)))
        diagnose_columns(self.memory, self.settings, values)
        names = ("energy", "x_margin", "theta_margin")
        return {
            name: row
            for name, row in zip(names, values, strict=True)
            if name != "theta_margin" or self._tilts
        }

    @property
    def _tilts(self) -> bool:
        """Whether a tilt can terminate an episode."""
        return bool(np.isfinite(self.system.task.theta_threshold))

    def infos(self, stepped: bool) -> dict[str, FloatArray]:
        """The infos of all environments, each (n, …), after a step or (``stepped`` False) after a reset."""
        told: dict[str, FloatArray] = {}
        if stepped and self.system.push_rate:
            told["push"] = self.pushes.copy()
        if self.system.randomize:
            told["params"] = self.params.T.copy()  # (8, n) -> (n, 8)
        if self.system.diagnostics:
            told.update(self.diagnostics())
        return told


def move(system: CartPole, states: FloatArray, forces: FloatArray) -> Flags:
    """Advance ``states`` (4, n) in place under ``forces`` (n,) in newtons, and return ``terminated`` (n,)."""
    columns = Columns(system, states.shape[1])
    columns.settings["push_probability"] = 0.0
    columns.states[:], columns.pushes[:] = states, forces
    stepped = columns.step()
    states[:] = columns.states
    return stepped.terminated


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of n environments, from ``get_state``; ``set_state`` of an equal environment restores it."""

    system: CartPole
    memory: FloatArray  # (ROWS, n), see ``kernels/layout.py``
    random_state: Mapping[str, Any]  # of ``np_random``


def take_snapshot(columns: Columns, generator: np.random.Generator) -> Snapshot:
    """Snapshot environments and their random generator."""
    return Snapshot(columns.system, columns.memory.copy(), generator.bit_generator.state)


def restore_snapshot(
    snapshot: object, columns: Columns, generator: np.random.Generator, may_be_over: bool = True
) -> None:
    """Restore environments and their random generator from a snapshot.

    Args:
        snapshot: from ``take_snapshot``.
        columns: the environments.
        generator: their ``np_random``.
        may_be_over: whether the snapshot may hold finished episodes.

    Raises:
        InputError: if it is not a snapshot, has another system or number of environments, or holds finished
            episodes where none may be; nothing changes then.
    """
    if not isinstance(snapshot, Snapshot):
        raise InputError(f"Expected a snapshot from get_state(), got {type(snapshot).__name__}.")
    if snapshot.system != columns.system:
        raise InputError(
            f"Expected a snapshot of {columns.system}, got one of {snapshot.system}; "
            "make the environment with the same arguments."
        )
    if snapshot.memory.shape != columns.memory.shape:
        got = snapshot.memory.shape[-1]
        raise InputError(f"Expected a snapshot of {len(columns)} environments, got one of {got}.")
    if not may_be_over and snapshot.memory.view(np.int64)[m.DONE].any():
        raise InputError(
            'Expected a snapshot without ended episodes for autoreset_mode="SameStep", got one with some; '
            "restore it in the autoreset mode in which it was taken."
        )
    generator.bit_generator.state = dict(snapshot.random_state)
    columns.restore(snapshot.memory)
