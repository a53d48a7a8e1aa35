"""Writing and loading HDF5 against h5py's filters: ``python -m benchmarks.speeds.storage``.

Both sides write and read the same arrays in this process. Ours also hashes every array and syncs the file to
disk. h5py reads our file, so its filters undo our compression.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.speeds.side_by_side import compare, rate, run
from cartpole_phys.data.hdf5.file import Contents, Reader, write
from cartpole_phys.data.loading import load_dataset
from cartpole_phys.policies.controllers import proportional
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array

Arrays = Mapping[str, Array]

STEPS = 1_000_000
CORE = ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts")
RESULT = Path(__file__).parent.parent / "results" / "storage.json"


def write_with_h5py(path: Path, arrays: Arrays) -> None:
    """Write arrays with h5py's gzip and shuffle filters."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip", shuffle=True)


def read_with_h5py(path: Path) -> Arrays:
    """All arrays of a file."""
    with Reader(path) as reader:
        names = reader.header.aligned
    with h5py.File(path) as file:
        return {name: file[name][()] for name in names}


def writing(work: str, arrays: Arrays, folder: Path, rounds: int) -> dict[str, Any]:
    """Rows per second of both writers, and their file sizes."""
    mine, theirs = folder / "ours.hdf5", folder / "h5py.hdf5"
    row = compare(
        f"writing {STEPS:,} rows, {work}",
        "h5py, gzip and shuffle",
        lambda: rate(lambda: write(mine, Contents(arrays, {}, {})), each=STEPS),
        lambda: rate(lambda: write_with_h5py(theirs, arrays), each=STEPS),
        rounds,
    )
    check_equal(arrays, read_with_h5py(mine))
    sizes = {"our_bytes": mine.stat().st_size, "peer_bytes": theirs.stat().st_size}
    return {**row, **sizes, "size_ratio": sizes["our_bytes"] / sizes["peer_bytes"]}


def loading(arrays: Arrays, folder: Path, rounds: int) -> dict[str, Any]:
    """Rows per second of loading into Episodes, against reading the same arrays with h5py."""
    path = folder / "set.hdf5"
    write(path, Contents(arrays, {}, {}))
    return compare(
        f"loading {STEPS:,} rows into Episodes",
        "h5py, the same arrays",
        lambda: rate(lambda: load_dataset(path), each=STEPS),
        lambda: rate(lambda: read_with_h5py(path), each=STEPS),
        rounds,
    )


def check_equal(written: Arrays, read: Arrays) -> None:
    """Check that h5py reads from our file the arrays that were written.

    Raises:
        SystemExit: if an array differs.
    """
    for name, array in written.items():
        if name not in read or not np.array_equal(array, read[name]):
            raise SystemExit(f"error: h5py should read {name} as it was written.")


def measure(rounds: int) -> list[dict[str, Any]]:
    """All comparisons."""
    arrays = collect(CartPole(), proportional(1.1, continuous=True), STEPS, seed=0).as_d4rl()
    with tempfile.TemporaryDirectory() as name:
        return [
            writing("core keys", {key: arrays[key] for key in CORE}, Path(name), rounds),
            writing("all keys", arrays, Path(name), rounds),
            loading(arrays, Path(name), rounds),
        ]


if __name__ == "__main__":
    run(measure, RESULT, "Rows beside h5py's own filters")
