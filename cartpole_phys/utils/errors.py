"""``InputError``, the exception for invalid user input, with common checks and text formatting."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np


class InputError(ValueError):
    """Invalid input from the caller.

    The message has the form "Expected X, got Y; do Z". Commands print it on one line and exit with code 2.
    """


class UnexpectedArgumentError(InputError, TypeError):
    """An unknown keyword argument: also a ``TypeError``, with Python's wording.

    Libraries try keyword arguments and drop those rejected with a ``TypeError``: TorchRL's ``GymEnv`` does so
    with ``frameskip``, Stable-Baselines3's ``make_vec_env`` with ``render_mode``.
    """


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Convert a failed import into an error that names the extra of this package to install.

    Raises:
        InputError: if a module imported in the block is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"This needs {error.name}, which is not installed; install it with: "
            f'pip install "cartpole-phys[{extra}]"'
        ) from error


def require_suffix(option: str, path: Path | None, ending: str) -> None:
    """Check the suffix of an output file, so that a file of another type is not overwritten by mistake.

    Raises:
        InputError: if there is a path, and it has another suffix.
    """
    if path is not None and path.suffix.lower() != ending:
        raise InputError(
            f"Expected {option} with a name that ends in {ending}, got '{path}'; choose another."
        )


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a value is an integer and not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a real number in the range of float, and not a bool."""
    if is_integer(value):
        return abs(int(value)) <= sys.float_info.max  # JSON has integers of any length
    return isinstance(value, (float, np.floating))


def error_summary(error: Exception) -> str:
    """Type and message of an exception on one line, at most 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def printable(text: str) -> str:
    """Replace control characters and unencodable characters of untrusted text, for output on a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
