"""PyTorch's pickled weights, looked through before PyTorch reads them.

``torch.load(weights_only=True)`` makes tensors and containers only, but hashes any key: a deep tuple ends the
interpreter.
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


class _Anything:
    """Stands for whatever a pickle asks for, and keeps nothing of it."""

    __slots__ = ()

    def __init__(self, *_: Any) -> None:
        """Take any arguments."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take an entry, as an ordered dictionary does."""

    def __setstate__(self, state: Any) -> None:
        """Take a state."""


class _Looking(PlainUnpickler):
    """Walks through a pickle, and makes nothing but containers."""

    def find_class(self, module: str, name: str) -> Any:
        """Stand in for every name; PyTorch decides which it admits."""
        return _Anything

    def persistent_load(self, pid: Any) -> Any:
        """Stand in for a tensor's numbers."""
        return _Anything()

    dispatch: ClassVar[dict[int, Any]] = {
        **PlainUnpickler.dispatch,
        pickle.BINPERSID[0]: pickle._Unpickler.dispatch[pickle.BINPERSID[0]],
    }


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by their names.

    Raises:
        OSError: if there is none.
        ValueError: if ``require_safe`` refuses it.
        UnpicklingError, RuntimeError, EOFError: if it is damaged otherwise, or asks for code.
    """
    require_safe(path)
    pickled: dict[str, Tensor] = torch.load(path, "cpu", weights_only=True)
    return pickled


def require_safe(path: Path) -> None:
    """Refuse a file that PyTorch could not read safely.

    Raises:
        OSError: if there is none.
        ValueError: if it is older than PyTorch 1.6, packed, or holds other keys than texts and numbers.
    """
    path.stat()
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no zip archive, as PyTorch writes since 1.6; save it again with that")
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if item.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{item.filename} is packed, which PyTorch's files are not")
            if item.filename.endswith("data.pkl"):
                _look_through(archive.read(item))


def _look_through(content: bytes) -> None:
    """Walk through a pickle.

    Raises:
        ValueError: if it cannot be walked through, or holds other keys than texts and numbers.
    """
    try:
        _Looking(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(f"its pickle cannot be read ({error})") from error
