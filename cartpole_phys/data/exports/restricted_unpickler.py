"""Pickled NumPy arrays, read without NumPy's own constructors, in memory and time linear in the file's size.

Those make what a pickle tells them to, an array of pointers out of the file's bytes included. What stands for
them here only notes what it is called with. Arrays of plain numbers are made of the notes when somebody asks
for them, once their bytes are counted.

Nothing here has attributes that a pickle may set: NumPy would read memory where an ``__array_interface__``
says, and that may be anywhere. So what stands in is classes, never functions, each with ``__slots__`` and
with a ``__setstate__``.

A few bytes may also refer to one object again and again, or nest it: hashing a tuple recurses through all of
it, so keys are texts and numbers only, and arrays are sized before they are made. Python's own implementation
of the unpickler is the one whose steps can be overridden; the one in C also takes memory for any number that
an object is remembered as.
"""

from __future__ import annotations

import math
import mmap
import operator
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np

from cartpole_phys.episodes.d4rl_layout import require_flags
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array

MOST_AXES = 8
LARGEST_NUMBER = 8  # bytes
EXPANSION = 64  # bytes of arrays for one of a file: a number in a list takes 1 or 2 of it, and 8 in an array
# What would hash anything, or make objects in ways that arrays do not need.
_REFUSED = (
    pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX,
    pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
)  # fmt: skip
_PLAIN_NUMBERS = (bool, int, float, np.number, np.bool_)
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


class _Encoded:
    """For ``encode``: a text that stands for bytes, as Python 2 and protocol 2 pickle those of arrays."""

    __slots__ = ("_text",)

    def __init__(self, text: Any = None, encoding: Any = None) -> None:
        self._text = text if encoding == "latin1" else None

    def __setstate__(self, state: Any) -> None:
        """Refuse to be changed.

        Raises:
            TypeError: always.
        """
        raise TypeError("bytes that are given a state")

    def content(self) -> bytes:
        """The bytes.

        Raises:
            TypeError: if there is no text, or it is encoded in another way.
        """
        if not isinstance(self._text, str):
            raise TypeError("bytes that are not a text in latin1")
        return self._text.encode("latin1")


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

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes."""
        data = self._data._text if isinstance(self._data, _Encoded) else self._data
        return len(data) if isinstance(data, (bytes, bytearray, str)) else 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The array, in memory of its own.

        Raises:
            TypeError: if it is none of numbers, or nothing was said of it.
            ValueError: if its bytes are not those of its shape.
        """
        if isinstance(self._data, _Encoded):
            self._data = self._data.content()
        if not isinstance(self._type, _DataType) or not isinstance(self._data, (bytes, bytearray)):
            raise TypeError("an array without type or bytes")
        numbers, shape = self._type.numbers(), tuple(map(operator.index, self._shape))
        if len(shape) > MOST_AXES or len(self._data) != math.prod(shape) * numbers.itemsize:
            raise ValueError(f"an array of shape {shape[:MOST_AXES]} with {len(self._data)} bytes")
        order: Any = "C" if self._order == "K" else self._order
        array: Array = np.frombuffer(self._data, numbers)
        if numbers == np.bool_:
            require_flags("truth values", array)
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


class _Dictionary:
    """For ``OrderedDict``, whose entries come later: a dictionary, which keeps its order too."""

    __slots__ = ()

    def __new__(cls) -> Any:
        return {}

    def __setstate__(self, state: Any) -> None:
        """There is none to be changed."""


# What NumPy 1 and 2 make arrays and numbers with, and what stands for it here.
_STAND_INS: Final[dict[str, dict[str, Any]]] = {
    "numpy": {"ndarray": "ndarray", "dtype": _DataType},  # arrays are never called for, but named
    "numpy.core.multiarray": {"_reconstruct": _Reconstructed, "scalar": _Scalar},
    "numpy._core.multiarray": {"_reconstruct": _Reconstructed, "scalar": _Scalar},
    "numpy.core.numeric": {"_frombuffer": _Noted},
    "numpy._core.numeric": {"_frombuffer": _Noted},
    "collections": {"OrderedDict": _Dictionary},
    "_codecs": {"encode": _Encoded},
}


def _with_plain_keys(code: bytes, keys: slice) -> Callable[[Any], None]:
    """A step of the unpickler that fills dictionaries, with the keys at these places of its stack.

    It raises a ``TypeError`` at a key whose hash may take more than its size, or that Python recurses into.
    """
    load = pickle._Unpickler.dispatch[code[0]]

    def load_checked(unpickler: Any) -> None:
        for key in unpickler.stack[keys]:
            if not isinstance(key, (str, bytes, int, float)):
                raise TypeError(f"a key is neither a text nor a number, but of type {type(key).__name__}")
        load(unpickler)

    return load_checked


class PlainUnpickler(pickle._Unpickler):
    """Makes containers whose keys are texts and numbers; what else there is, ``find_class`` decides."""

    def _refuse(self) -> None:
        raise ValueError("sets, and objects made in ways that arrays do not need, are not read")

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        **dict.fromkeys((code[0] for code in _REFUSED), _refuse),
        pickle.SETITEM[0]: _with_plain_keys(pickle.SETITEM, slice(-2, -1)),
        pickle.SETITEMS[0]: _with_plain_keys(pickle.SETITEMS, slice(None, None, 2)),
        pickle.DICT[0]: _with_plain_keys(pickle.DICT, slice(None, None, 2)),
    }


class ArrayUnpickler(PlainUnpickler):
    """Makes plain containers, and what NumPy takes for arrays of numbers, and nothing else."""

    read: Callable[[int], bytes]  # of the class above, which declares neither
    append: Callable[[Any], None]

    def __init__(self, content: mmap.mmap) -> None:
        """Read a file in memory, of which nobody gets more bytes than there are."""
        super().__init__(content)
        self._size = len(content)

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

    def _make_bytearray(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        if size > self._size:
            raise ValueError(f"{size:,} bytes in a file of {self._size:,}")
        self.append(bytearray(self.read(size)))

    dispatch: ClassVar[dict[int, Any]] = {
        **PlainUnpickler.dispatch,
        pickle.BYTEARRAY8[0]: _make_bytearray,
    }


class ArrayBudget:
    """Makes arrays of what a pickle holds, as long as all together are not larger than the file can hold."""

    def __init__(self, size: int) -> None:
        """Begin with a file of ``size`` bytes."""
        self._left = EXPANSION * size
        self._known: dict[int, tuple[int, int]] = {}  # height and bytes of a list, by its address

    def array(self, value: Any) -> Array:
        """An array of numbers, from an array or lists of arrays and numbers.

        Raises:
            TypeError: if there is anything else in it.
            ValueError: if it is too deep, or all arrays are too large for the file.
        """
        self._left -= self._measured(value, 0)[1]
        if self._left < 0:
            raise ValueError("the arrays are larger than a file of this size can hold")
        return np.asarray(value)

    def _measured(self, value: Any, depth: int) -> tuple[int, int]:
        """How many lists lie within each other, and how many bytes all elements take."""
        if isinstance(value, _Noted):
            return 0, value.nbytes
        if isinstance(value, _PLAIN_NUMBERS):
            return 0, LARGEST_NUMBER
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{type(value).__name__} is no number")
        if depth >= MOST_AXES:
            raise ValueError(f"lists are deeper than {MOST_AXES} within each other")
        if id(value) not in self._known:
            if all(issubclass(kind, _PLAIN_NUMBERS) for kind in set(map(type, value))):  # many at once
                parts = [(0, LARGEST_NUMBER * len(value))]
            else:
                parts = [self._measured(item, depth + 1) for item in value]
            height = 1 + max(part[0] for part in parts)
            self._known[id(value)] = height, sum(part[1] for part in parts)
        height, size = self._known[id(value)]
        if depth + height > MOST_AXES:
            raise ValueError(f"lists are deeper than {MOST_AXES} within each other")
        return height, size
