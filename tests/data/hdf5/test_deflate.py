"""Chunks have the format of HDF5's shuffle and deflate filters, so any reader gets the same rows."""

import zlib
from io import BytesIO

import h5py
import numpy as np
import pytest

from cartpole_phys.data.hdf5.deflate import ChunkError, deflate, inflate
from cartpole_phys.utils.typing import Array

ROWS = 16_384
RANDOM = np.random.default_rng(0)
WALK = RANDOM.normal(0.0, 0.01, (ROWS, 4)).cumsum(axis=0)
ARRAYS = {
    "walk, float64": WALK,
    "walk, float32": WALK.astype(np.float32),  # whose planes are longer than a stored block
    "noise": RANDOM.integers(0, 256, (ROWS, 9), np.uint8),
    "noise, 8 bytes": RANDOM.integers(0, 1 << 63, ROWS, np.uint64),
    "counter": np.arange(ROWS),
    "constant": np.ones(ROWS, np.float32),
    "flags": RANDOM.random(ROWS) < 0.01,
    "one row": np.array([[1.0, 2.0]]),
}


def _through_hdf5(array: Array, chunk_rows: int) -> Array:
    """An array whose chunk was written directly, as HDF5's own filters read it."""
    with h5py.File(BytesIO(), "w") as file:
        data = file.create_dataset(
            "data",
            array.shape,
            array.dtype,
            chunks=(chunk_rows, *array.shape[1:]),
            maxshape=(None, *array.shape[1:]),
            compression="gzip",
            shuffle=True,
        )
        data.id.write_direct_chunk((0,) * array.ndim, deflate(array, chunk_rows))
        return np.asarray(data[()])


def _gzip_size(array: Array) -> int:
    """The bytes of the same array under HDF5's own filters."""
    with h5py.File(BytesIO(), "w") as file:
        data = file.create_dataset("data", data=array, chunks=array.shape, compression="gzip", shuffle=True)
        return int(data.id.get_storage_size())


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_hdf5_reads_what_was_deflated(name: str, share: float) -> None:
    array = ARRAYS[name][: max(int(share * len(ARRAYS[name])), 1)]
    np.testing.assert_array_equal(_through_hdf5(array, len(ARRAYS[name])), array)


@pytest.mark.parametrize("name", ARRAYS)
def test_rows_come_back_from_any_row_on(name: str) -> None:
    array = ARRAYS[name]
    chunk = deflate(array, len(array))
    for first, stop in ((0, len(array)), (len(array) // 3, len(array) // 2 + 1)):
        rows = np.empty_like(array[first:stop])
        inflate(chunk, len(array), rows, first)
        np.testing.assert_array_equal(rows, array[first:stop])


@pytest.mark.parametrize("name", ["walk, float64", "walk, float32", "noise", "noise, 8 bytes"])
def test_chunks_are_hardly_larger_than_hdf5s_own(name: str) -> None:
    assert len(deflate(ARRAYS[name], ROWS)) <= 1.1 * _gzip_size(ARRAYS[name])


@pytest.mark.parametrize("name", ["counter", "constant", "flags"])
def test_repetitive_data_is_compressed(name: str) -> None:
    assert len(deflate(ARRAYS[name], ROWS)) < 0.1 * ARRAYS[name].nbytes


def test_corruption_is_detected() -> None:
    chunk = bytearray(deflate(WALK, ROWS))
    chunk[1_000] ^= 1
    with pytest.raises(ChunkError):
        inflate(bytes(chunk), ROWS, np.empty_like(WALK), 0)
    with pytest.raises(zlib.error):
        zlib.decompress(chunk)


def test_incompressible_data_is_stored_uncompressed() -> None:
    array = RANDOM.integers(0, 215, ROWS, np.uint8)  # 7.75 of 8 bits
    assert array.tobytes() in deflate(array, ROWS)
