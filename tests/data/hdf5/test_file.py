"""D4RL files: readable by any HDF5 reader, and bit-for-bit round trips."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.data.hashing import array_sha256
from cartpole_phys.data.hdf5.blocks import ROWS_PER_BLOCK, blocks, flagged
from cartpole_phys.data.hdf5.file import ROWS_PER_CHUNK, Contents, Reader, Writer, read, write
from cartpole_phys.data.loading import load_dataset
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.controllers import proportional, uniform
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

WEIGHTS = {"0": {"mu.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}}
METADATA = {
    "schema_version": 1,
    "env_id": "PhysCartPole-v0",
    "env_kwargs": {"integrator": "euler"},
    "parts": [{"a": 1}],
}


def contents_of(
    episodes: Episodes, metadata: dict[str, Any], weights: dict[str, dict[str, np.ndarray]]
) -> Contents:
    """Contents of a file with these episodes."""
    return Contents(episodes.as_d4rl(), metadata, weights)


@pytest.mark.parametrize("steps", [1, ROWS_PER_CHUNK - 1, ROWS_PER_CHUNK, 2 * ROWS_PER_CHUNK + 5])
@pytest.mark.parametrize("continuous", [True, False])
def test_round_trip_is_bit_for_bit(tmp_path: Path, steps: int, continuous: bool) -> None:
    episodes = collect(CartPole(continuous=continuous), uniform(), steps, seed=0)
    contents = contents_of(episodes, METADATA, WEIGHTS)
    path = tmp_path / "set.hdf5"
    write(path, contents)
    got = read(path)
    assert got.arrays.keys() == contents.arrays.keys()
    for name, array in contents.arrays.items():
        assert got.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(got.arrays[name], array)
    assert {name: got.metadata[name] for name in METADATA} == METADATA
    np.testing.assert_array_equal(got.weights["0"]["mu.weight"], WEIGHTS["0"]["mu.weight"])
    loaded = load_dataset(path)
    np.testing.assert_array_equal(loaded.returns, episodes.returns)
    assert loaded.metadata["env_id"] == "PhysCartPole-v0"


def test_plain_h5py_reads_compressed_row_aligned_arrays(tmp_path: Path) -> None:
    path = tmp_path / "set.hdf5"
    write(path, contents_of(collect(CartPole(), proportional(1.1, True), 50_000, 0), METADATA, {}))
    with h5py.File(path) as file:
        assert file["terminals"].dtype == np.bool_
        assert file["observations"].compression == "gzip"
        assert file["observations"].shuffle
        assert {len(file[name]) for name in ("observations", "actions", "infos/qpos", "infos/push")} == {
            50_000
        }
        assert not any(name.startswith("metadata") for name in file)
    assert path.stat().st_size < 50_000 * 80


def test_same_contents_same_bytes(tmp_path: Path) -> None:
    contents = contents_of(collect(CartPole(), uniform(), 5_000, 0), METADATA, WEIGHTS)
    for name in ("a", "b"):
        write(tmp_path / name, contents)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_hash_covers_type_shape_and_values() -> None:
    array = np.zeros((4, 2), dtype=np.float32)
    changed = array.copy()
    changed[0, 0] = -0.0
    others: list[np.ndarray] = [array.reshape(2, 4), array.astype(np.float64), array.view(np.int32), changed]
    assert array_sha256(array) not in {array_sha256(other) for other in others}


def test_metadata_hash_covers_weights(tmp_path: Path) -> None:
    episodes = collect(CartPole(), uniform(), 10, 0)
    others = {"0": {"mu.weight": WEIGHTS["0"]["mu.weight"] + 1}}
    hashes = []
    for weights in (WEIGHTS, others):
        write(tmp_path / "set.hdf5", contents_of(episodes, METADATA, weights))
        hashes.append(read(tmp_path / "set.hdf5").metadata["metadata_sha256"])
    assert hashes[0] != hashes[1]


def test_weights_above_64_kilobytes(tmp_path: Path) -> None:
    weights = {"0": {"fc1.weight": np.ones((256, 256), np.float32)}}
    write(tmp_path / "set.hdf5", contents_of(collect(CartPole(), uniform(), 10, 0), METADATA, weights))
    np.testing.assert_array_equal(read(tmp_path / "set.hdf5").weights["0"]["fc1.weight"], 1.0)


def test_pieces_of_any_size_give_the_same_file(tmp_path: Path) -> None:
    arrays = collect(CartPole(), uniform(), 3 * ROWS_PER_CHUNK + 7, 0).as_d4rl()
    rows = len(arrays["rewards"])
    for name, sizes in (("a", [rows]), ("b", [1, ROWS_PER_CHUNK - 1, 5, ROWS_PER_CHUNK, rows])):
        with Writer(tmp_path / name, rows) as writer:
            start = 0
            for size in sizes:
                stop = min(start + size, rows)
                writer.append({key: array[start:stop] for key, array in arrays.items()})
                start = stop
            writer.finish(METADATA, WEIGHTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_from_anywhere(tmp_path: Path) -> None:
    arrays = collect(CartPole(), uniform(), 2 * ROWS_PER_CHUNK + 7, 0).as_d4rl()
    write(tmp_path / "set.hdf5", Contents(arrays, METADATA, {}))
    with h5py.File(tmp_path / "plain.hdf5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    for path in (tmp_path / "set.hdf5", tmp_path / "plain.hdf5"):
        with Reader(path) as reader:
            for start, stop in ((0, 1), (5, ROWS_PER_CHUNK + 5), (ROWS_PER_CHUNK, None), (90_000, 100_000)):
                for name, rows in reader.rows(arrays, start, stop).items():
                    np.testing.assert_array_equal(rows, arrays[name][start:stop])


def test_blocks_hold_whole_episodes_in_order(tmp_path: Path) -> None:
    arrays = collect(CartPole(), proportional(1.3, True), 2 * ROWS_PER_BLOCK + 7, 0).as_d4rl()
    write(tmp_path / "set.hdf5", Contents(arrays, METADATA, {}))
    with Reader(tmp_path / "set.hdf5") as reader:
        read_back = list(blocks(reader))
    assert len(read_back) == 3
    assert all(flagged(block.arrays)[-1] for block in read_back)
    assert [block.start for block in read_back] == [0, *np.cumsum([b.rows for b in read_back])[:-1]]
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.concatenate([block.arrays[name] for block in read_back]), array)


def test_third_party_files_are_one_clear_error(tmp_path: Path) -> None:
    text = tmp_path / "text.hdf5"
    text.write_text("not HDF5")
    with pytest.raises(InputError, match="Expected a D4RL HDF5 file"):
        load_dataset(text)
    with pytest.raises(InputError, match="There is no file"):
        load_dataset(tmp_path / "nowhere.hdf5")
    foreign = tmp_path / "foreign.hdf5"
    with h5py.File(foreign, "w") as file:
        file["rewards"] = np.zeros(3)
        file["note"] = "text"
    with pytest.raises(InputError, match="'observations' is missing"):
        load_dataset(foreign)


def test_truncated_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "set.hdf5"
    write(path, contents_of(collect(CartPole(), uniform(), 5_000, 0), METADATA, {}))
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="truncated"):
            read(path)


def test_public_names_are_lazy() -> None:
    assert cartpole_phys.load_dataset is load_dataset
    assert "build_dataset" in dir(cartpole_phys)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cartpole_phys.nothing
