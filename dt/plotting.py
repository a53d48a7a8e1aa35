"""Plots of returns with Matplotlib, and learning curves with TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from cartpole_phys.utils.errors import require_extra
from cartpole_phys.utils.files import atomic_file
from dt.scores import Evaluation
from dt.training.checkpoint import Checkpoint
from dt.training.loop import OnProgress
from dt.training.optimizer import TrainConfig, learning_rate


def pyplot() -> ModuleType:
    """Import Matplotlib's pyplot with the file-only Agg backend.

    Raises:
        InputError: if it is not installed.
    """
    with require_extra("report"):
        import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


BLUE, GRAY = "#0072b2", "#777777"  # distinguishable to color-blind readers
SIZE = (6.4, 4.0)  # inches


def save_plot(checkpoint: Checkpoint, results: Sequence[Evaluation], path: Path) -> None:
    """Plot the mean return against the target return, with 95 % intervals and the returns of the data.

    Raises:
        InputError: if Matplotlib is not installed.
    """
    plt = pyplot()
    ordered = sorted((one.target, one) for one in results if one.target is not None)
    assert ordered, "expected a return-conditioned model"
    targets, means = [target for target, _ in ordered], [one.mean_return for _, one in ordered]
    below = [one.mean_return - one.return_low for _, one in ordered]
    above = [one.return_high - one.mean_return for _, one in ordered]
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    ends = [min(targets), max(targets)]
    axes.plot(ends, ends, color=GRAY, linestyle=":", label="return = target")
    for value, name in ((checkpoint.source.mean_return, "mean"), (checkpoint.source.max_return, "highest")):
        axes.axhline(value, color=GRAY, linewidth=0.8, linestyle="--" if name == "mean" else "-.",
                     label=f"{name} of the data")  # fmt: skip
    axes.errorbar(
        targets, means, yerr=(below, above), color=BLUE, marker="o", capsize=3, label="mean return, 95 %"
    )
    axes.set_xlabel("target return")
    axes.set_ylabel("return")
    axes.set_title(f"{checkpoint.recipe.kind} on {checkpoint.source.dataset_name}")
    axes.legend()
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=150)
    plt.close(figure)


@contextmanager
def learning_curves(folder: Path | None, config: TrainConfig) -> Iterator[OnProgress]:
    """Yield a progress callback that logs loss and learning rate to ``folder``; None logs nothing.

    A resumed run appends to the existing curves.

    Raises:
        InputError: if TensorBoard is not installed.
    """
    if folder is None:
        yield lambda step, loss: None
        return
    with require_extra("dt"):
        from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def report(step: int, loss: float) -> None:
            writer.add_scalar("loss", loss, step)
            writer.add_scalar("learning rate", learning_rate(config, step - 1), step)

        yield report
