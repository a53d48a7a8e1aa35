"""Validation of untrusted pickled PyTorch weights before ``torch.load``.

``torch.load(weights_only=True)`` creates only tensors and containers, but hashes any dictionary key: a deeply
nested tuple as a key crashes the interpreter.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from cartpole_phys.data.exports.restricted_unpickler import PlainUnpickler


class _StandIn:
    """Inert stand-in for any class in a pickle, which discards its state."""

    __slots__ = ()

    def __init__(self, *_: Any) -> None:
        """Accept any arguments."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Accept an entry, as an ordered dictionary does."""

    def __setstate__(self, state: Any) -> None:
        """Accept a state."""


class _CheckingUnpickler(PlainUnpickler):
    """Unpickler that creates only containers and inert stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for every name; ``torch.load`` restricts the names later."""
        return _StandIn

    def persistent_load(self, pid: Any) -> Any:
        """Return the stand-in for a tensor's storage."""
        return _StandIn()

    dispatch: ClassVar[dict[int, Any]] = {
        **PlainUnpickler.dispatch,
        pickle.BINPERSID[0]: pickle._Unpickler.dispatch[pickle.BINPERSID[0]],
    }


def load(path: Path) -> dict[str, Tensor]:
    """Load the tensors of a file by name.

    Raises:
        OSError: if the file does not exist.
        ValueError: if ``require_safe`` rejects it.
        UnpicklingError, RuntimeError, EOFError: if it is otherwise corrupt, or contains code.
    """
    require_safe(path)
    pickled: dict[str, Tensor] = torch.load(path, "cpu", weights_only=True)
    return pickled


def require_safe(path: Path) -> None:
    """Check that PyTorch can load a file safely.

    Raises:
        OSError: if the file does not exist.
        ValueError: if it predates PyTorch 1.6, is compressed, or has keys other than strings and numbers.
    """
    path.stat()
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "expected a zip archive as of PyTorch 1.6, got another file; save it with 1.6 or later"
        )
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if item.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"expected an uncompressed archive, got compressed {item.filename}")
            if item.filename.endswith("data.pkl"):
                _check_pickle(archive.read(item))


def _check_pickle(content: bytes) -> None:
    """Unpickle with stand-ins, as a check.

    Raises:
        ValueError: if unpickling fails, or keys are not strings or numbers.
    """
    try:
        _CheckingUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(f"its pickle cannot be read ({error})") from error
