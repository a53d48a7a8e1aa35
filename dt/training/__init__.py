"""Training loop, optimizer, checkpoints and distributed training."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dt.training.loop import train as train

__all__ = ["train"]


def __getattr__(name: str) -> Any:
    """Import ``train`` lazily: inference with a checkpoint needs no optimizer."""
    if name == "train":
        from dt.training.loop import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
