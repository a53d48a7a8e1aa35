"""A trained model as a policy for rollouts: its history, and the return that is still wanted."""

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

LARGEST = 1e15  # target in units of the return scale: models square what they read, in float32


class CheckpointPolicy:
    """Plays a batch of episodes in lockstep with the last ``context`` steps of each as history.

    The predicted action, or the most likely one. After each step the wanted return-to-go
    falls by the reward (Chen et al., 2021, algorithm 1).

    Raises:
        InputError: if ``target`` is not a finite number, or larger than a model can read.
    """

    def __init__(self, checkpoint: Checkpoint, target: float) -> None:
        """Play ``checkpoint`` for a return of ``target``, in the environment's units."""
        largest = LARGEST * checkpoint.normalization.return_scale
        if not abs(target) <= largest:
            raise InputError(
                f"Expected a finite target return, of no more than ±{largest:.3g}, got {target}."
            )
        self.model, self.normalization = checkpoint.model.eval(), checkpoint.normalization
        self.spaces, self.target = checkpoint.source.spaces, target
        self._device = next(self.model.parameters()).device

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Forget all earlier episodes."""
        self._wanted = np.full(batch_size, self.target)  # (B,) float64, raw return-to-go
        self._timestep = 0
        with torch.inference_mode():
            self._stream = self.model.stream(batch_size, self._random(generator))

    @torch.inference_mode()
    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """Actions for observations (B, obs), after the rewards (B,) of the previous step.

        Raises:
            InputError: if observations or episodes are longer than those that the model was made for.
        """
        if observations.shape[1:] != (self.spaces.observation_size,):
            raise InputError(
                f"Expected observations of {self.spaces.observation_size} numbers, as in training, got "
                f"{observations.shape[1:]}; play it in the environment of its data."
            )
        if self._timestep >= self.spaces.max_episode_steps:
            raise InputError(
                f"Expected episodes of at most {self.spaces.max_episode_steps} steps, as in training, got a "
                "longer one; train on data of this environment."
            )
        self._wanted = self._wanted - rewards
        actions = self._stream.act(
            self.normalization.observations(self._tensor(observations)),
            self.normalization.returns(self._tensor(self._wanted)),
            self._tensor(rewards),
            self._timestep,
        )
        self._timestep += 1
        return ActionBatch(self.normalization.raw_actions(actions).cpu().numpy(), {})

    def _random(self, generator: np.random.Generator) -> torch.Generator:
        """Where the model's random choices come from; models without any draw nothing."""
        return torch.Generator(self._device).manual_seed(int(generator.integers(2**63)))

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, device=self._device)


def load(
    checkpoint: str | PathLike[str] | Checkpoint, target: float | None = None, score: float | None = None
) -> CheckpointPolicy:
    """The policy of a checkpoint; also for ``--policy 'dt.policy:load("checkpoints/mine", 450)'``.

    Args:
        checkpoint: its folder, or the checkpoint itself.
        target: the return that is wanted; by default the highest one in its data.
        score: the same as a normalised score, in place of ``target``.

    Raises:
        InputError: if it cannot be read, the target is not finite or given twice, or there are no scores in
            its environment.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = checkpoints.load(Path(checkpoint))
    if target is not None and score is not None:
        raise InputError(f"Expected a target or a score, got both: {target} and {score}.")
    if score is not None:
        target = return_of_score(checkpoint.source.env_id, score)
    return CheckpointPolicy(checkpoint, checkpoint.source.max_return if target is None else target)
