"""Restricted unpickler for untrusted NumPy arrays, in memory and time linear in the file's size.

NumPy's own constructors can create an array of pointers from the file's bytes. Stand-ins replace them here
and only record their arguments; an array of numbers is created from these on request, after a check of its
size.

A pickle cannot set attributes on a stand-in: NumPy would read memory at any address that an
``__array_interface__`` names. Stand-ins are therefore classes, never functions, each with ``__slots__`` and a
``__setstate__``.

A few bytes can also reference one object many times, or nest it. Hashing a tuple recurses through all of it,
so dictionary keys are restricted to strings and numbers; and the size of an array is computed before it is
created. The unpickler is Python's own implementation, because its opcodes can be overridden and because the
one in C allocates memory for any memo index.
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

MAX_DIMENSIONS = 8
MAX_ITEMSIZE = 8  # bytes
EXPANSION = 64  # maximum array bytes per file byte: a number takes 1 or 2 bytes in a list, 8 in an array
# Opcodes that hash arbitrary objects, or create objects in ways that arrays do not need.
_REJECTED = (
    pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX,
    pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
)  # fmt: skip
_NUMBER_TYPES = (bool, int, float, np.number, np.bool_)
_NUMERIC_CODE = re.compile("[biuf][0-9]+")  # NumPy's codes of dtypes without pointers


class _DataType:
    """Stand-in for ``numpy.dtype``."""

    __slots__ = ("_byte_order", "_code")

    def __init__(self, code: Any, *_flags: Any) -> None:
        self._code = code
        self._byte_order = "="

    def __setstate__(self, state: Any) -> None:
        """Record the byte order; fields are ignored, since numeric dtypes have none."""
        self._byte_order = state[1]

    def numeric(self) -> np.dtype[Any]:
        """Return the numeric dtype.

        Raises:
            TypeError: if the dtype is not numeric.
        """
        if not _NUMERIC_CODE.fullmatch(self._code):
            raise TypeError(f"{self._code} is not a numeric dtype")
        return np.dtype(self._code).newbyteorder(self._byte_order)


class _EncodedBytes:
    """Stand-in for ``codecs.encode``, with which Python 2 and protocol 2 pickle the bytes of arrays."""

    __slots__ = ("_text",)

    def __init__(self, text: Any = None, encoding: Any = None) -> None:
        self._text = text if encoding == "latin1" else None

    def __setstate__(self, state: Any) -> None:
        """Reject any state.

        Raises:
            TypeError: always.
        """
        raise TypeError("a state set on encoded bytes")

    def content(self) -> bytes:
        """Return the decoded bytes.

        Raises:
            TypeError: if they are not a string in Latin-1.
        """
        if not isinstance(self._text, str):
            raise TypeError("encoded bytes that are not a string in latin1")
        return self._text.encode("latin1")


class _DeferredArray:
    """Recorded arguments of an array; NumPy creates the array through ``__array__``."""

    __slots__ = ("_axes", "_data", "_order", "_shape", "_type")

    def __init__(self, data: Any = None, dtype: Any = None, shape: Any = None, *order: Any) -> None:
        """Record bytes, dtype, shape and memory order."""
        self._data, self._type, self._shape = data, dtype, shape
        # The memory order, where "K" is C order with permuted axes, and the permutation.
        self._order, self._axes = (*order, None, None)[:2]

    def __setstate__(self, state: Any) -> None:
        """Reject any state.

        Raises:
            TypeError: always.
        """
        raise TypeError("a second state set on an array")

    @property
    def nbytes(self) -> int:
        """Size of the array in bytes."""
        data = self._data._text if isinstance(self._data, _EncodedBytes) else self._data
        return len(data) if isinstance(data, (bytes, bytearray, str)) else 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Create the array, as a copy of the pickled bytes.

        Raises:
            TypeError: if it is not numeric, or its arguments are missing.
            ValueError: if the number of bytes does not match the shape.
        """
        if isinstance(self._data, _EncodedBytes):
            self._data = self._data.content()
        if not isinstance(self._type, _DataType) or not isinstance(self._data, (bytes, bytearray)):
            raise TypeError("an array without dtype or bytes")
        numeric, shape = self._type.numeric(), tuple(map(operator.index, self._shape))
        if len(shape) > MAX_DIMENSIONS or len(self._data) != math.prod(shape) * numeric.itemsize:
            raise ValueError(f"an array of shape {shape[:MAX_DIMENSIONS]} with {len(self._data)} bytes")
        order: Any = "C" if self._order == "K" else self._order
        array: Array = np.frombuffer(self._data, numeric)
        if numeric == np.bool_:
            require_flags("bools", array)
        array = array.reshape(shape, order=order)
        if self._axes is not None:
            array = array.transpose(self._axes)
        return array.astype(dtype or numeric)  # a copy: no reference to the pickle remains


class _ReconstructedArray(_DeferredArray):
    """Stand-in for ``_reconstruct``, whose array gets all its arguments as a state."""

    __slots__ = ()

    def __init__(self, *_kind: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Record all arguments."""
        _, shape, dtype, is_fortran, data = state
        _DeferredArray.__init__(self, data, dtype, shape, "F" if is_fortran else "C")


class _Scalar(_DeferredArray):
    """Stand-in for ``scalar``: creates the number immediately, as an element of a list."""

    __slots__ = ()

    def __new__(cls, dtype: Any = None, data: Any = None) -> Any:
        deferred = _DeferredArray(data, dtype, (), "C")
        try:
            return deferred.__array__()[()]
        except TypeError:  # a string or a date, which is rejected if it is used
            return deferred


class _OrderedDict:
    """Stand-in for ``OrderedDict``: creates a dictionary, which is ordered too."""

    __slots__ = ()

    def __new__(cls) -> Any:
        return {}

    def __setstate__(self, state: Any) -> None:
        """Ignore the state: an instance is never created."""


# Stand-ins for the constructors with which NumPy 1 and 2 pickle arrays and scalars.
_STAND_INS: Final[dict[str, dict[str, Any]]] = {
    "numpy": {"ndarray": "ndarray", "dtype": _DataType},  # referenced by name, never called
    "numpy.core.multiarray": {"_reconstruct": _ReconstructedArray, "scalar": _Scalar},
    "numpy._core.multiarray": {"_reconstruct": _ReconstructedArray, "scalar": _Scalar},
    "numpy.core.numeric": {"_frombuffer": _DeferredArray},
    "numpy._core.numeric": {"_frombuffer": _DeferredArray},
    "collections": {"OrderedDict": _OrderedDict},
    "_codecs": {"encode": _EncodedBytes},
}


def _with_plain_keys(code: bytes, keys: slice) -> Callable[[Any], None]:
    """Opcode handler that fills dictionaries, whose keys are at the positions ``keys`` of the stack.

    The handler raises ``TypeError`` at a key that is not a string or a number: hashing others may recurse.
    """
    load = pickle._Unpickler.dispatch[code[0]]

    def load_checked(unpickler: Any) -> None:
        for key in unpickler.stack[keys]:
            if not isinstance(key, (str, bytes, int, float)):
                raise TypeError(f"a key is neither a string nor a number, but of type {type(key).__name__}")
        load(unpickler)

    return load_checked


class PlainUnpickler(pickle._Unpickler):
    """Unpickler that admits only strings and numbers as keys; ``find_class`` decides on other objects."""

    def _reject(self) -> None:
        raise ValueError("sets, and opcodes that arrays do not need, are not supported")

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        **dict.fromkeys((code[0] for code in _REJECTED), _reject),
        pickle.SETITEM[0]: _with_plain_keys(pickle.SETITEM, slice(-2, -1)),
        pickle.SETITEMS[0]: _with_plain_keys(pickle.SETITEMS, slice(None, None, 2)),
        pickle.DICT[0]: _with_plain_keys(pickle.DICT, slice(None, None, 2)),
    }


class ArrayUnpickler(PlainUnpickler):
    """Unpickler that creates only plain containers and stand-ins for arrays of numbers."""

    read: Callable[[int], bytes]  # attributes of the base class, which declares neither
    append: Callable[[Any], None]

    def __init__(self, content: mmap.mmap) -> None:
        """Read a memory-mapped file."""
        super().__init__(content)
        self._size = len(content)

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a constructor of arrays.

        Raises:
            InputError: for any other name.
        """
        try:
            return _STAND_INS[module][name]
        except KeyError:
            raise InputError(
                "Expected a pickle of NumPy arrays in lists and dictionaries, but it references "
                f"{module}.{name}, which could run code; it was not loaded."
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
    """Limit on the total size of the arrays that are created from one pickle."""

    def __init__(self, size: int) -> None:
        """Allow ``EXPANSION`` times the ``size`` of the file, in bytes."""
        self._remaining = EXPANSION * size
        self._sizes: dict[int, tuple[int, int]] = {}  # dimensions and bytes of a list, by its id

    def array(self, value: Any) -> Array:
        """Create an array of numbers from a stand-in, or from nested lists of stand-ins and numbers.

        Raises:
            TypeError: if ``value`` contains anything else.
            ValueError: if lists are nested too deeply, or the arrays are too large for the file.
        """
        self._remaining -= self._size_of(value, 0)[1]
        if self._remaining < 0:
            raise ValueError("the arrays are larger than a file of this size can hold")
        return np.asarray(value)

    def _size_of(self, value: Any, depth: int) -> tuple[int, int]:
        """Number of dimensions and total bytes of nested lists."""
        if isinstance(value, _DeferredArray):
            return 0, value.nbytes
        if isinstance(value, _NUMBER_TYPES):
            return 0, MAX_ITEMSIZE
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{type(value).__name__} is not a number")
        if depth >= MAX_DIMENSIONS:
            raise ValueError(f"lists are nested deeper than {MAX_DIMENSIONS}")
        if id(value) not in self._sizes:
            if all(issubclass(kind, _NUMBER_TYPES) for kind in set(map(type, value))):  # fast path
                parts = [(0, MAX_ITEMSIZE * len(value))]
            else:
                parts = [self._size_of(item, depth + 1) for item in value]
            dimensions = 1 + max(part[0] for part in parts)
            self._sizes[id(value)] = dimensions, sum(part[1] for part in parts)
        dimensions, size = self._sizes[id(value)]
        if depth + dimensions > MAX_DIMENSIONS:
            raise ValueError(f"lists are nested deeper than {MAX_DIMENSIONS}")
        return dimensions, size
