"""Learning curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cartpole_phys.errors import needing
from dt.learning.optimization import TrainConfig, learning_rate
from dt.training import OnProgress


@contextmanager
def learning_curves(folder: Path | None, config: TrainConfig) -> Iterator[OnProgress]:
    """Something to report progress to, which writes loss and learning rate into ``folder``, if there is one.

    A run that goes on adds to the curves of the run before.

    Raises:
        InputError: if TensorBoard is not installed.
    """
    if folder is None:
        yield lambda step, loss: None
        return
    with needing("dt"):
        from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def report(step: int, loss: float) -> None:
            writer.add_scalar("loss", loss, step)
            writer.add_scalar("learning rate", learning_rate(config, step - 1), step)

        yield report
