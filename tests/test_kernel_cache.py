"""A kernel cache that cannot be written or read costs time, and never ends a program."""

import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
from cartpole_phys.physics import Params, energy
print(energy(np.zeros((4, 1)), Params())[0])
"""
EXPECTED = "0.49"  # m g l, upright at rest


def _run(cache: Path, largest_file: int | None = None) -> str:
    """What a process with this cache folder writes to stderr; its result is right."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    result = subprocess.run(
        [sys.executable, "-B", "-W", "default", "-c", PROGRAM],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert (result.returncode, result.stdout[:4]) == (0, EXPECTED), result.stderr
    return result.stderr


def _assert_warned_once(stderr: str, cache: Path) -> None:
    assert stderr.count("Warning: ") == 1
    assert stderr.count(f"'{cache}") == 1


def _files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]


DAMAGES = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "another pickle": lambda data: pickle.dumps({"key": "value"}),
    "not a pickle": lambda data: b"\x80garbage" + data,
    "one bit": lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
}


@pytest.mark.xfail(strict=True, reason="an OSError ends the first reset")
@pytest.mark.parametrize("largest_file", [0, 1_000])
def test_a_full_disk_is_warned_about(largest_file: int, tmp_path: Path) -> None:
    _assert_warned_once(_run(tmp_path, largest_file), tmp_path)
    assert _files(tmp_path) == []


@pytest.mark.xfail(
    strict=True, reason="an EOFError or UnpicklingError ends every later run, or nothing notices"
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_warned_about_and_replaced(damage: str, tmp_path: Path) -> None:
    assert _run(tmp_path) == ""
    for path in _files(tmp_path):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    _assert_warned_once(_run(tmp_path), tmp_path)
    assert _run(tmp_path) == ""


@pytest.mark.xfail(strict=True, reason="the folder is left out in silence")
def test_a_file_in_place_of_the_folder_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "cartpole-phys").touch()
    _assert_warned_once(_run(tmp_path), tmp_path)
