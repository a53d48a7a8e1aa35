"""Pickles of a few kilobytes that would need gigabytes or hours, or crash Python: rejected in one line.

Each is read in a process of its own, with little more address space than it has taken before.
"""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole_phys.data.exports import pickle as pickled
from cartpole_phys.utils.errors import InputError

PROGRAM = """
import os, resource, signal, sys
from cartpole_phys import load_dataset
from cartpole_phys.data.exports import pickle
from cartpole_phys.utils.errors import InputError

taken = 1_024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])


def read(path):
    signal.alarm(15)
    resource.setrlimit(resource.RLIMIT_AS, (taken + 200_000_000,) * 2)
    try:
        load_dataset(path)
    except BaseException as error:
        print("refused" if isinstance(error, InputError) else type(error).__name__, error, flush=True)
    os._exit(0)


for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        read(path)
    _, status = os.waitpid(child, 0)
    if status:
        print("ended by signal", os.waitstatus_to_exitcode(status), flush=True)
"""
NAMES = ("observations", "actions", "rewards")


def _text(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def _episodes(value: bytes, again: bytes = b"h\0", count: int = 1) -> bytes:
    """Episodes whose arrays are all what ``value`` puts on the stack, remembered as 0."""
    one = b"}(" + b"".join(_text(name) + again for name in NAMES) + b"u"
    return b"\x80\x04" + value + b"q\0" + b"0](" + count * one + b"e."


def _nested(levels: int, width: int = 10) -> bytes:
    """A list of ``width`` times one list, of ``width`` times one list, …, of numbers."""
    lists = b"](" + width * b"G\0\0\0\0\0\0\0\0" + b"e"
    for level in range(1, levels):
        lists += b"q" + bytes([level]) + b"0](" + width * (b"h" + bytes([level])) + b"e"
    return lists


def _keyed(key: bytes) -> bytes:
    return b"\x80\x04](}" + key + b"Nse."


def _encoded(count: int) -> bytes:
    """Repeated encodings of a text of one megabyte."""
    again = b"c_codecs\nencode\nh\0h\1\x86R"
    return (
        b"\x80\x04"
        + _text(1_000_000 * "a")
        + b"q\0"
        + _text("latin1")
        + b"q\1"
        + b"]("
        + count * again
        + b"e."
    )


def _rows_of(array: np.ndarray, times: int) -> bytes:
    """A list that holds one array many times."""
    return pickle.dumps([dict.fromkeys(NAMES, times * [array])], 4)


BOMBS: dict[str, bytes] = {
    "nested lists": _episodes(_nested(8)),
    "episodes that share their lists": _episodes(_nested(1, 10_000), count=1_000),
    "one array in many rows": _rows_of(np.zeros(10_000), 100_000),
    "one episode many times": pickle.dumps(100_000 * [dict.fromkeys(NAMES, np.zeros(100_000))], 4),
    "texts of different lengths": pickle.dumps([{n: [100_000 * "a", *(10_000 * ["b"])] for n in NAMES}], 4),
    "a deep tuple as a key": _keyed(b")" + 200_000 * b"\x85"),
    "a wide tuple as a key": _keyed(b"N" + 60 * b"2\x86"),
    "a deep tuple in an ordered dictionary": b"\x80\x04](ccollections\nOrderedDict\n]()"
    + 200_000 * b"\x85" + b"N\x86a\x85Re.",
    "a deep tuple in a set": b"\x80\x04](\x8f()" + 200_000 * b"\x85" + b"\x90e.",
    "a deep tuple in a frozen set": b"\x80\x04](()" + 200_000 * b"\x85" + b"\x91e.",
    "a list in a list, without end": _episodes(b"](" + 300 * b"](" + 300 * b"e" + b"e"),
    "a list that holds itself": _episodes(b"]q\1(h\1e"),
    "a number that is remembered as the two-billionth": b"\x80\x04Nr\xff\xff\xff\x7f.",
    "bytes that are not there": b"\x80\x05\x96" + (1 << 34).to_bytes(8, "little") + b".",
    "texts that are encoded": _encoded(2_000),
}  # fmt: skip


def test_pickle_bombs_are_rejected(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.pkl" for number in range(len(BOMBS))]
    for path, content in zip(paths, BOMBS.values(), strict=True):
        path.write_bytes(content)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths], capture_output=True, text=True, check=True
    )
    said = dict(zip(BOMBS, ended.stdout.splitlines(), strict=True))
    assert {name: one for name, one in said.items() if not one.startswith("refused")} == {}
    # Rejected before any allocation, not on running out of memory.
    sized = [name for name, one in said.items() if "larger than a file of this size" in one]
    assert sized == list(BOMBS)[:4]


@pytest.mark.parametrize("name", ["terminals", "dones", "observations"])
def test_boolean_values_are_0_or_1(name: str, tmp_path: Path) -> None:
    episode: dict[str, Any] = {
        "observations": np.ones((4, 2)),
        "actions": np.ones((4, 1)),
        "rewards": np.ones(4),
    }
    bad = np.zeros(episode[name].shape if name in episode else 4, np.uint8)
    bad[1] = 2
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps([{**episode, name: bad.view(np.bool_)}], 4))
    with pytest.raises(InputError, match="0 or 1"):
        pickled.read(path)


@pytest.mark.parametrize("value", [0.5, np.nan, 3])
def test_flags_are_0_or_1(value: float, tmp_path: Path) -> None:
    episode = {"observations": np.ones((4, 2)), "actions": np.ones((4, 1)), "rewards": np.ones(4)}
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps([{**episode, "terminals": np.array([0, 0, 0, value])}], 4))
    with pytest.raises(InputError, match="0 or 1"):
        pickled.read(path)
