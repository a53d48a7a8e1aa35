"""Rollout policy of a trained checkpoint, which tracks history and return-to-go."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cartpole_phys.data.score import return_of_score
from cartpole_phys.rollouts.policy import ActionBatch
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, FloatArray
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import Checkpoint

MAX_SCALED_TARGET = 1e15  # in units of the return scale: models square their inputs in float32


class CheckpointPolicy:
    """Policy for a batch of episodes in lockstep, conditioned on a target return and on history.

    Acts deterministically: the predicted action, or the most likely one. After each step the return-to-go
    decreases by the reward (Chen et al., 2021, algorithm 1).

    Raises:
        InputError: if ``target`` is not finite or exceeds the range of the model's inputs.
    """

    def __init__(self, checkpoint: Checkpoint, target: float) -> None:
        """Condition ``checkpoint`` on a return of ``target``, in the environment's units."""
        largest = MAX_SCALED_TARGET * checkpoint.normalization.return_scale
        if not abs(target) <= largest:
            raise InputError(f"Expected a finite target return within ±{largest:.3g}, got {target}.")
        self.model, self.normalization = checkpoint.model.eval(), checkpoint.normalization
        self.spaces, self.target = checkpoint.source.spaces, target
        self._device = next(self.model.parameters()).device

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Reset the history and return-to-go for ``batch_size`` new episodes."""
        self._return_to_go = np.full(batch_size, self.target)  # (B,) float64, raw return-to-go
        self._timestep = 0
        with torch.inference_mode():
            self._stream = self.model.stream(batch_size, self._random(generator))

    @torch.inference_mode()
    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """Actions for observations (B, obs), after the rewards (B,) of the previous step.

        Raises:
            InputError: if the size of observations or the length of episodes differs from training.
        """
        if observations.shape[1:] != (self.spaces.observation_size,):
            raise InputError(
                f"Expected observations of {self.spaces.observation_size} numbers, as in training, got "
                f"{observations.shape[1:]}; evaluate the model in the environment of its data."
            )
        if self._timestep >= self.spaces.max_episode_steps:
            raise InputError(
                f"Expected episodes of at most {self.spaces.max_episode_steps} steps, as in training, got a "
                "longer one; train on data of this environment."
            )
        self._return_to_go = self._return_to_go - rewards
        actions = self._stream.act(
            self.normalization.observations(self._tensor(observations)),
            self.normalization.returns(self._tensor(self._return_to_go)),
            self._tensor(rewards),
            self._timestep,
        )
        self._timestep += 1
        return ActionBatch(self.normalization.raw_actions(actions).cpu().numpy(), {})

    def _random(self, generator: np.random.Generator) -> torch.Generator:
        """Generator for stochastic models, seeded from the rollout's generator."""
        return torch.Generator(self._device).manual_seed(int(generator.integers(2**63)))

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, device=self._device)


def load(
    checkpoint: str | PathLike[str] | Checkpoint, target: float | None = None, score: float | None = None
) -> CheckpointPolicy:
    """Load the policy of a checkpoint; also for ``--policy 'dt.policy:load("checkpoints/mine", 450)'``.

    Args:
        checkpoint: a checkpoint folder, or a loaded checkpoint.
        target: target return; by default the highest return in the training data.
        score: target as a normalized score, in place of ``target``.

    Raises:
        InputError: if the checkpoint cannot be read, the target is not finite or given twice, or the
            environment has no reference returns for scores.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = checkpoints.load(Path(checkpoint))
    if target is not None and score is not None:
        raise InputError(f"Expected a target or a score, got both: {target} and {score}.")
    if score is not None:
        target = return_of_score(checkpoint.source.env_id, score)
    return CheckpointPolicy(checkpoint, checkpoint.source.max_return if target is None else target)
