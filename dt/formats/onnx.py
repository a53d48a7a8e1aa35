"""ONNX export of models: raw histories in, raw actions out, with normalization and padding inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from cartpole_phys.utils.errors import InputError, require_extra
from cartpole_phys.utils.files import atomic_file
from dt.data.windows import Batch, Normalization
from dt.models.history import HistoryModel
from dt.training.checkpoint import Checkpoint

INPUTS = ("observations", "actions", "returns_to_go", "timesteps", "valid")
OUTPUTS = ("action", "return_to_go")
OPSET = 18  # what PyTorch's exporter writes


class _ExportedPolicy(nn.Module):
    """Exported module: normalization, model and its inverse."""

    def __init__(self, model: HistoryModel, normalization: Normalization) -> None:
        super().__init__()
        self.model, self.normalization = model.eval(), normalization

    def forward(
        self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the action of the last step of each history, and the return-to-go it is conditioned on."""
        history = Batch(
            self.normalization.observations(observations),
            self.normalization.actions(actions),
            self.normalization.returns(returns_to_go),
            timesteps,
            valid,
        )
        history = self.model.with_predicted_return(history)
        target = history.returns_to_go[:, -1].double() * self.normalization.return_scale  # (B, K) -> (B,)
        return self.normalization.raw_actions(self.model.act(history)), target


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Export a model to an ONNX file with dynamic batch size B.

    The output ``action`` is the model's action. The output ``return_to_go`` (B,) float64 is the value it is
    conditioned on: for a Decision Transformer the last of ``returns_to_go``, for a Reinformer its own
    prediction, which replaces that input in the histories of later steps.

    Inputs are the last K steps of each history, K the model's context, padded in front: ``observations``
    (B, K, obs) float32, ``actions`` (B, K, act) float32 or (B, K) int64, of which the last one is masked,
    ``returns_to_go`` (B, K) float64, ``timesteps`` (B, K) int64 and ``valid`` (B, K) bool, False on
    padding.

    Raises:
        InputError: if the model does not act on a window of history, or ONNX is not installed.
        OSError: if the file cannot be written.
    """
    model = checkpoint.model
    if not isinstance(model, HistoryModel):
        raise InputError(
            f"Expected a model that acts on a window of history, got {checkpoint.recipe.kind}, a planner; "
            "planners cannot be exported to ONNX."
        )
    with require_extra("onnx"):
        import onnx  # noqa: F401 - what PyTorch's exporter needs
        import onnxscript  # noqa: F401
    example = _example(model)
    batch = torch.export.Dim("batch", min=1)
    with _silent_exporter():
        program = torch.onnx.export(
            _ExportedPolicy(model, checkpoint.normalization),
            example,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=[{0: batch}] * len(example),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    with atomic_file(path) as partial:
        program.save(partial)


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """Suppress PyTorch's warnings about its exporter's internals and about optional packages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _example(model: HistoryModel) -> tuple[Tensor, ...]:
    """Example inputs: two histories of zeros."""
    spaces, steps = model.spaces, model.context
    actions = torch.zeros(2, steps, spaces.action_size) if spaces.continuous else torch.zeros(2, steps).long()
    return (
        torch.zeros(2, steps, spaces.observation_size),
        actions,
        torch.zeros(2, steps, dtype=torch.float64),
        torch.zeros(2, steps, dtype=torch.int64),
        torch.ones(2, steps, dtype=torch.bool),
    )
