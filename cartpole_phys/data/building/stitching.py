"""An expert's episodes in pieces, none of which is worth much, and which together are the expert's.

::

    the expert     ├ swings up ┤ holds the pole │ goes on holding it │ … until time is up
    episode 0      ├ swings up ┤ shoves to and fro …
    episode 1                  ├ holds the pole ┤ shoves to and fro …
    episode 2                                   ├ goes on …         ┤ shoves to and fro …

Every piece begins in the very state in which the one before was left, so the good parts, one after another,
are an episode of the expert to the last bit. Who learns the task from these has to put them together: no
episode shows all of it, and where one does well, others do badly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.arguments import Start
from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.rollouts.collect import run_compiled
from cartpole_phys.rollouts.lockstep import run_lockstep
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import FloatArray, IntArray

HOLDING = 5  # pieces in which the pole is held
SHOVE = 8  # steps for which full force goes one way or the other, where the expert does not act
UPRIGHT = 0.98  # cos θ above which the pole stands
COSINE = 2  # where it is in an observation
BATCH = 64  # episodes of the expert


class _Script:
    """Does what is written down, whatever happens."""

    def __init__(self, actions: npt.NDArray[np.float32]) -> None:
        self._actions, self._step = actions, 0  # (B, T, 1)

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """From the first step on."""
        self._step = 0

    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """The next actions."""
        self._step += 1
        return ActionBatch(self._actions[:, self._step - 1], {})


def pieces(system: CartPole, expert: CompiledPolicy, steps: int, seed: int) -> Episodes:
    """Exactly ``steps`` transitions of pieces of the expert's episodes; the last one is cut.

    Args:
        system: swinging up, without chance after the start.
        expert: whose episodes are taken to pieces.
        steps: how many transitions.
        seed: decides the expert's starts and what is done at random.
    """
    key, rows = key_from_seed(seed), 0
    made: list[Episodes] = []
    while rows < steps:
        first = len(made) * BATCH
        generator = np.random.Generator(np.random.Philox(key=np.array([key, first], dtype=np.uint64)))
        made.append(_taken_apart(system, run_compiled(system, expert, key, first, BATCH), key, generator))
        rows += made[-1].steps
    return concatenate(made).head(steps)


def _taken_apart(
    system: CartPole, expert: Episodes, key: np.uint64, generator: np.random.Generator
) -> Episodes:
    """The pieces of some episodes, those of each one after another."""
    steps = system.task.max_episode_steps
    firsts, lasts = _bounds(expert)
    count = len(firsts)
    shoves = generator.choice(np.array([-1.0, 1.0], np.float32), (count, -(-steps // SHOVE), 1))
    actions = shoves.repeat(SHOVE, axis=1)[:, :steps]  # (B, T, 1)
    for piece, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        actions[piece, : last - first] = expert.actions[first:last]
    (x, theta), (x_dot, theta_dot) = (expert.infos[name][firsts].T for name in ("qpos", "qvel"))
    start = Start(0.0, 0.0, np.stack([x, x_dot, theta, theta_dot]))  # (4, B)
    return run_lockstep(system, _Script(actions), key, 0, count, count, start)


def _bounds(expert: Episodes) -> tuple[IntArray, IntArray]:
    """The rows of the expert with which pieces begin, and those after their last ones, each (B,)."""
    firsts, lasts = [], []
    for begin, end in zip(expert.offsets[:-1], expert.offsets[1:], strict=True):
        fallen = np.flatnonzero(expert.observations[begin:end, COSINE] < UPRIGHT)
        stands = begin + (fallen[-1] + 1 if len(fallen) else 0)
        marks = [begin, *np.linspace(stands, end, HOLDING + 1).astype(np.int64)]
        firsts += marks[:-1]
        lasts += marks[1:]
    return np.array(firsts, np.int64), np.array(lasts, np.int64)
