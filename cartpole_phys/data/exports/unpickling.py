"""Pickled NumPy arrays, read without NumPy's own constructors.

Those make what a pickle tells them to, an array of pointers out of the file's bytes included. What stands for
them here only notes what it is called with. Arrays of plain numbers are made of the notes when somebody asks
for them, once their bytes are counted.

Nothing here has attributes that a pickle may set: NumPy would read memory where an ``__array_interface__``
says, and that may be anywhere. So what stands in is classes, never functions, each with ``__slots__`` and
with a ``__setstate__``.
"""

from __future__ import annotations

import math
import operator
import pickle
import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cartpole_phys.errors import InputError

_NUMBERS = re.compile("[biuf][0-9]+")  # NumPy's codes for types that hold no pointers


class _DataType:
    """What a pickle says of a data type."""

    __slots__ = ("_byte_order", "_code")

    def __init__(self, code: Any, *_flags: Any) -> None:
        self._code = code
        self._byte_order = "="

    def __setstate__(self, state: Any) -> None:
        """Note the order of bytes; fields, which plain numbers have none of, are left out."""
        self._byte_order = state[1]

    def numbers(self) -> np.dtype[Any]:
        """The data type of plain numbers.

        Raises:
            TypeError: if it is another.
        """
        if not _NUMBERS.fullmatch(self._code):
            raise TypeError(f"{self._code} are no plain numbers")
        return np.dtype(self._code).newbyteorder(self._byte_order)


class _Noted:
    """What a pickle says of an array, which NumPy takes for that array."""

    __slots__ = ("_axes", "_data", "_order", "_shape", "_type")

    def __init__(self, data: Any = None, dtype: Any = None, shape: Any = None, *order: Any) -> None:
        """Note the bytes, what they are, and how they lie."""
        self._data, self._type, self._shape = data, dtype, shape
        # Of the elements in memory, where "K" is that of C with its axes moved; and where they are moved to.
        self._order, self._axes = (*order, None, None)[:2]

    def __setstate__(self, state: Any) -> None:
        """Refuse to be changed.

        Raises:
            TypeError: always.
        """
        raise TypeError("an array that is given another state")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The array, in memory of its own.

        Raises:
            TypeError: if it is none of numbers, or nothing was said of it.
            ValueError: if its bytes are not those of its shape.
        """
        if not isinstance(self._type, _DataType) or not isinstance(self._data, (bytes, bytearray)):
            raise TypeError("an array without type or bytes")
        numbers, shape = self._type.numbers(), tuple(map(operator.index, self._shape))
        if len(self._data) != math.prod(shape) * numbers.itemsize:
            raise ValueError(f"an array of shape {shape} with {len(self._data)} bytes")
        order: Any = "C" if self._order == "K" else self._order
        array: npt.NDArray[Any] = np.frombuffer(self._data, numbers)
        array = array.reshape(shape, order=order)
        if self._axes is not None:
            array = array.transpose(self._axes)
        return array.astype(dtype or numbers)  # a copy: nothing of the pickle is kept


class _Reconstructed(_Noted):
    """For ``_reconstruct``, of whose array everything is said later."""

    __slots__ = ()

    def __init__(self, *_kind: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Note all of it."""
        _, shape, dtype, is_fortran, data = state
        _Noted.__init__(self, data, dtype, shape, "F" if is_fortran else "C")


class _Scalar(_Noted):
    """For ``scalar``: a number at once where it is one, as lists hold them."""

    __slots__ = ()

    def __new__(cls, dtype: Any = None, data: Any = None) -> Any:
        noted = _Noted(data, dtype, (), "C")
        try:
            return noted.__array__()[()]
        except TypeError:  # a text or a date, which nobody asks for
            return noted


# What NumPy 1 and 2 make arrays and numbers with, and what stands for it here.
_STAND_INS: Final[dict[str, dict[str, Any]]] = {
    "numpy": {"ndarray": "ndarray", "dtype": _DataType},  # arrays are never called for, but named
    "numpy.core.multiarray": {"_reconstruct": _Reconstructed, "scalar": _Scalar},
    "numpy._core.multiarray": {"_reconstruct": _Reconstructed, "scalar": _Scalar},
    "numpy.core.numeric": {"_frombuffer": _Noted},
    "numpy._core.numeric": {"_frombuffer": _Noted},
    "collections": {"OrderedDict": dict},  # keeps its order, and has no attributes
    "_codecs": {"encode": str.encode},  # the bytes of arrays that Python 2 or protocol 2 pickled
}


class ArrayUnpickler(pickle.Unpickler):
    """Makes plain containers, and what NumPy takes for arrays of numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for the few functions that arrays need.

        Raises:
            InputError: on any other name.
        """
        try:
            return _STAND_INS[module][name]
        except KeyError:
            raise InputError(
                "Expected a pickle of NumPy arrays in lists and dictionaries, but it asks for "
                f"{module}.{name}, which could run code; it was not read."
            ) from None
