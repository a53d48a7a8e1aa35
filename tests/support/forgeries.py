"""Programs that each read a malicious pickle whose bytes NumPy would use as pointers or addresses."""

PROGRAM = """
import collections, io, pathlib, pickle, sys
import numpy as np
from numpy._core.multiarray import _reconstruct
from numpy._core.numeric import _frombuffer
from cartpole_phys import load_dataset
from cartpole_phys.utils.errors import InputError

NAMES = ("observations", "actions", "rewards")
MEMORY = {{"__array_interface__": {{"data": (16, True), "shape": (4,), "typestr": "<f8", "version": 3}}}}


def bare(value):
    written = io.BytesIO()
    pickler = pickle.Pickler(written, 3)
    pickler.fast = True  # no memo, whose numbers the forgeries give out
    pickler.dump(value)
    return written.getvalue()[2:-1]


def episode(number):  # its arrays are all what is remembered as this number
    reference = b"h" + bytes([number])
    return b"0](}}(" + b"".join(bare(name) + reference for name in NAMES) + b"ue."

{}
pathlib.Path(sys.argv[1]).write_bytes(content)
try:
    print(load_dataset(sys.argv[1]).rewards)
except InputError as error:
    sys.exit(f"refused: {{error}}")
"""

_REDUCED = """
class Forged:
    def __reduce__(self):
        return {}
content = pickle.dumps([dict.fromkeys(NAMES, Forged())], 4)
"""

_GIVEN_AN_ADDRESS = r"""
content = b"\x80\x04cnumpy._core.{}\n{}\nq\0" + bare(MEMORY) + b"b" + episode(0)
"""

FORGERIES = {
    "pointers": _REDUCED.format('np.ndarray, ((4,), np.dtype("O"), b"A" * 32)'),
    "a type that becomes one of pointers": r"""
pointers = (3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 63)
content = (
    b"\x80\x04cnumpy\ndtype\nX\x02\0\0\0V8\x89\x88\x87Rq\0"  # the data type, remembered as 0
    b"0cnumpy._core.numeric\n_frombuffer\n(C\x20" + b"A" * 32  # an array of it, remembered as 1
    + b"h\0K\x04\x85X\x01\0\0\0CtRq\1"
    b"0h\0" + bare(pointers) + b"b" + episode(1)
)
""",
    "an array at an address": _REDUCED.format("_frombuffer, (b'x', np.dtype('f4'), (1,), 'C'), MEMORY"),
    "an array given more than its state": _REDUCED.format(
        "_frombuffer, (b'x', np.dtype('f4'), (1,), 'C'), (None, MEMORY)"
    ),
    "an empty array at an address": _REDUCED.format("_reconstruct, (np.ndarray, (0,), b'b'), MEMORY"),
    "a dictionary at an address": _REDUCED.format("collections.OrderedDict, (), MEMORY"),
    "a data type at an address": _REDUCED.format("np.dtype, ('f4',), MEMORY"),
    "a function at an address": _GIVEN_AN_ADDRESS.format("multiarray", "scalar"),
    "another function at an address": _GIVEN_AN_ADDRESS.format("numeric", "_frombuffer"),
}
