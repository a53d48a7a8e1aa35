"""Where pictures come from."""

from __future__ import annotations

from types import ModuleType

from cartpole_phys.errors import needing


def pyplot() -> ModuleType:
    """Matplotlib, for files and not for a screen.

    Raises:
        InputError: if it is not installed.
    """
    with needing("report"):
        import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
