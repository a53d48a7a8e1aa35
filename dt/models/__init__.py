"""Models and their recipes: architecture and training hyperparameters."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dt.models.recipes import recipe as recipe

__all__ = ["recipe"]


def __getattr__(name: str) -> Any:
    """Import ``recipe`` lazily, since it imports every model, and every model imports this package."""
    if name == "recipe":
        from dt.models.recipes import recipe

        return recipe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
