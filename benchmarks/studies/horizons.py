"""How wrong models are so many steps ahead: what they predict beside what recorded episodes did."""

from __future__ import annotations

import torch
from torch import Tensor

from dt.data.windows import Batch
from dt.models.history import HistoryModel
from dt.models.trajectory import TrajectoryTransformer


@torch.inference_mode()
def observation_errors(model: TrajectoryTransformer, numbers: Tensor, known: int) -> tuple[Tensor, Tensor]:
    """Of observations that a model predicts, one from the other, while recorded actions are done.

    Args:
        model: whose likeliest tokens are taken.
        numbers: (B, K, P) recorded windows, as the model's data are.
        known: steps that are given whole; of the next one the observation is given, too.

    Returns:
        Root mean square over an observation's numbers, (B, K − known − 1), of the model's and of the last
        known observation's, which is what a model has to beat.
    """
    seen, steps = model.spaces.observation_size, numbers.shape[1]
    recorded = model.discretizer.encode(numbers)  # (B, K, P)
    tokens = torch.cat([recorded[:, :known].flatten(1), recorded[:, known, :seen]], dim=1)
    predicted = []
    for step in range(known, steps - 1):
        tokens = torch.cat([tokens, recorded[:, step, seen:-2]], dim=1)  # the action that was done
        for _ in range(2 + seen):  # reward, value and the next observation
            likeliest = model.logits(tokens)[:, -1:, :-1].argmax(dim=2)  # (B, 1)
            tokens = torch.cat([tokens, likeliest], dim=1)
        predicted.append(model.discretizer.decode(tokens[:, -seen:]))
    actual = numbers[:, known + 1 :, :seen]
    return _distance(torch.stack(predicted, dim=1), actual), _distance(numbers[:, known, None, :seen], actual)


@torch.inference_mode()
def action_errors(model: HistoryModel, windows: Batch, known: int) -> tuple[Tensor, Tensor]:
    """Of actions, while recorded observations come.

    Args:
        model: what acts.
        windows: B recorded windows of K steps.
        known: steps that are given whole.

    Returns:
        Root mean square over an action's numbers, (B, K − known): after the model's own actions, and after
        the recorded ones.
    """
    own = windows.actions.clone()
    errors = []
    for actions in (own, windows.actions):
        of_steps = []
        for step in range(known, windows.actions.shape[1]):
            history = Batch(*(part[:, : step + 1] for part in windows._replace(actions=actions)))
            predicted = model.act(history)
            of_steps.append(_distance(predicted, windows.actions[:, step]))
            if actions is own:
                own[:, step] = predicted
        errors.append(torch.stack(of_steps, dim=1))
    return errors[0], errors[1]


def _distance(some: Tensor, others: Tensor) -> Tensor:
    """Root mean square over the last dimension."""
    return (some - others).square().mean(dim=-1).sqrt()
