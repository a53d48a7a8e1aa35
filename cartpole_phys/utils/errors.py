"""The one exception type for what a user can mend, what most often raises it, and how it is shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message says what was expected, what was got and what to do next; the commands print it on one
    line and end with exit code 2.
    """


class UnexpectedArgumentError(InputError, TypeError):
    """An unknown keyword argument, also a ``TypeError`` in Python's wording.

    Libraries probe with keyword arguments and withdraw the one that a ``TypeError`` names: TorchRL's
    ``GymEnv`` does so with ``frameskip``, Stable-Baselines3's ``make_vec_env`` with ``render_mode``.
    """


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Say which extra of this package installs what is imported here.

    Raises:
        InputError: if it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"This needs {error.name}, which is not installed; install it with: "
            f'pip install "cartpole-phys[{extra}]"'
        ) from error


def require_ending(option: str, path: Path | None, ending: str) -> None:
    """Refuse a file to write whose name does not say what it will hold: it may be something else's.

    Raises:
        InputError: if there is a path and it ends otherwise.
    """
    if path is not None and path.suffix.lower() != ending:
        raise InputError(
            f"Expected {option} with a name that ends in {ending}, got '{path}'; choose another."
        )


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether something is an integer, and no truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether something is a real number that a float can hold, and no truth value."""
    if is_integer(value):
        return abs(int(value)) <= sys.float_info.max  # JSON has integers of any length
    return isinstance(value, (float, np.floating))


def one_line(error: Exception) -> str:
    """What kind of exception someone's code has raised, and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def printable(text: str) -> str:
    """A text from a file without what would command a terminal, or cannot be encoded."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
