"""Untrusted files are validated before they are read; errors name the defect."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest

from cartpole_phys import load_dataset
from cartpole_phys.data.checks.run import check
from cartpole_phys.data.declared_env import declared_env
from cartpole_phys.data.hdf5.deflate import deflate, inflate
from cartpole_phys.data.hdf5.file import Contents, read, write
from cartpole_phys.data.hdf5.untrusted import MAX_DEPTH
from cartpole_phys.data.loading import make_env_and_dataset
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError

ROWS = 100
ARRAYS: dict[str, Any] = {
    "observations": np.zeros((ROWS, 4), np.float32),
    "next_observations": np.zeros((ROWS, 4), np.float32),
    "actions": np.zeros((ROWS, 1), np.float32),
    "rewards": np.ones(ROWS, np.float32),
    "terminals": np.zeros(ROWS, np.bool_),
    "timeouts": np.zeros(ROWS, np.bool_),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small file, opened by plain h5py in the tests."""
    write(tmp_path / "set.hdf5", Contents(ARRAYS, {"env_id": "PhysCartPole-v0"}, {}))
    return tmp_path / "set.hdf5"


def _assert_rejected(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=f"cannot be read \\({message}"):
        load_dataset(path)


def test_values_in_other_files(path: Path) -> None:
    for pointed in ("external", "virtual"):
        with h5py.File(path, "r+") as file:
            del file["rewards"]
            if pointed == "external":
                file.create_dataset("rewards", (ROWS,), "f4", external=[("other", 0, 4 * ROWS)])
            else:
                layout = h5py.VirtualLayout((ROWS,), "f4")
                layout[:] = h5py.VirtualSource("other", "rewards", (ROWS,), "f4")
                file.create_virtual_dataset("rewards", layout)
        _assert_rejected(path, "rewards is stored in other files")


def test_links_to_other_files_are_not_followed(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as other:
        other["rewards"] = ARRAYS["rewards"]
    for link in (h5py.ExternalLink("other.hdf5", "/rewards"), h5py.SoftLink("/actions")):
        with h5py.File(path, "r+") as file:
            del file["rewards"]
            file["rewards"] = link
        assert "rewards" not in read(path).arrays
        with pytest.raises(InputError, match="'observations' is missing or of another length"):
            load_dataset(path)


@pytest.mark.parametrize("packed", [{}, {"compression": "gzip", "shuffle": True}])
def test_unallocated_rows_are_rejected(path: Path, packed: dict[str, Any]) -> None:
    with h5py.File(path, "r+") as file:
        del file["rewards"]
        rewards = file.create_dataset("rewards", (ROWS,), "f4", chunks=(ROWS,), maxshape=(None,), **packed)
        rewards[:] = 1.0
        rewards.resize(2**40, axis=0)
    _assert_rejected(path, "rewards claims 4,398,046,511,104 bytes, but only .* are stored")


def test_arrays_sharing_storage_are_rejected(path: Path) -> None:
    """Only links to the same object can do this through h5py, and an object is counted once."""
    with h5py.File(path, "r+") as file:
        for i in range(10):
            file[f"infos/again{i}"] = file["observations"]
        file["infos/root"] = file["/"]
    assert sum(array.shape == (ROWS, 4) for array in read(path).arrays.values()) == 2


def test_other_filters(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["rewards"]
        file.create_dataset("rewards", data=ARRAYS["rewards"], scaleoffset=3)
    _assert_rejected(path, "rewards uses an unsupported HDF5 filter")


@pytest.mark.parametrize("packed", [{"compression": "lzf"}, {"compression": "gzip", "fletcher32": True}, {}])
def test_filters_that_others_use(path: Path, packed: dict[str, Any]) -> None:
    with h5py.File(path, "r+") as file:
        del file["rewards"]
        file.create_dataset("rewards", data=ARRAYS["rewards"], **packed)
    np.testing.assert_array_equal(read(path).arrays["rewards"], ARRAYS["rewards"])


def test_chunks_that_a_filter_left_out(path: Path) -> None:
    """HDF5 stores incompressible chunks without deflate and records that in the filter mask."""
    values = np.random.default_rng(0).random(ROWS).astype(np.float32)
    with h5py.File(path, "r+") as file:
        del file["rewards"]
        rewards = file.create_dataset(
            "rewards", (ROWS,), "f4", chunks=(ROWS,), compression="gzip", shuffle=True
        )
        rewards.id.write_direct_chunk((0,), values.tobytes(), filter_mask=0b11)
    np.testing.assert_array_equal(read(path).arrays["rewards"], values)


@pytest.mark.parametrize("rows", [0, 1, 99, 101, 10_000_000])
def test_chunks_of_wrong_size_are_rejected(rows: int) -> None:
    chunk = deflate(np.ones(rows, np.float32), rows)
    with pytest.raises(ValueError, match="expected a chunk of 400 bytes"):
        inflate(chunk, ROWS, np.empty(ROWS, np.float32), 0)
    inflate(deflate(np.ones(ROWS, np.float32), ROWS), ROWS, np.empty(ROWS, np.float32), 0)


def test_booleans_other_than_0_and_1_are_rejected(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        chunk = deflate(np.full(ROWS, 2, np.uint8), ROWS)
        file["terminals"].id.write_direct_chunk((0,), chunk)
    with pytest.raises(InputError, match="Expected terminals to be 0 or 1, got 2"):
        load_dataset(path)


def test_deeply_nested_groups_are_skipped(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        group = file
        for depth in range(MAX_DEPTH + 2):
            group = group.create_group("g")
            group[f"at{depth}"] = np.zeros(3)
    deep = [name for name in read(path).arrays if "at" in name and name.startswith("g/")]
    assert len(deep) == MAX_DEPTH


def test_corrupted_heaps_are_rejected(path: Path) -> None:
    """HDF5 itself hangs on such a file."""
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    entry, end = heap + 16, heap + int.from_bytes(data[heap + 8 : heap + 16], "little")
    while int.from_bytes(data[entry : entry + 2], "little"):
        entry += 16 + -(-int.from_bytes(data[entry + 8 : entry + 16], "little") // 8) * 8
    assert entry < end
    data[entry + 8 : entry + 16] = bytes(8)
    path.write_bytes(data)
    _assert_rejected(path, f"the heap at byte {heap} is corrupt")
    plain = [sys.executable, "-c", "import sys, h5py; dict(h5py.File(sys.argv[1]).attrs)", str(path)]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(plain, timeout=3.0, check=False)


ATTRIBUTES: list[tuple[Any, str]] = [
    ("[" * 100_000, "its attribute odd is invalid JSON"),
    ("{", "its attribute odd is invalid JSON"),
    (
        "[" * 200 + "]" * 200,
        "its attribute odd is invalid JSON: it is nested deeper",
    ),
    ("[1" + "0" * 10_000 + "]", "its attribute odd is invalid JSON"),
]


@pytest.mark.parametrize(("value", "message"), ATTRIBUTES)
def test_attributes_that_are_not_json_are_rejected(path: Path, value: Any, message: str) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["odd"] = value
    _assert_rejected(path, message)


def test_attributes_of_every_kind(path: Path) -> None:
    values: dict[str, Any] = {
        "text": "θ", "number": 3, "truth": True, "list": np.arange(3), "fixed": np.bytes_(b"abc"),
        "complex": np.complex64(1), "void": np.void(b"abc"), "texts": np.array([b"a"], h5py.string_dtype()),
        "empty": h5py.Empty("f4"), "broken": b"\xff",
    }  # fmt: skip
    with h5py.File(path, "r+") as file:
        file.attrs.update(values)
    found = read(path).metadata
    expected = {"text": "θ", "number": 3, "truth": True, "list": [0, 1, 2], "fixed": "abc"}
    assert {name: found[name] for name in expected} == expected
    assert not {"complex", "void", "texts", "empty"} & set(found)


ASKED: list[tuple[Any, Any, str]] = [
    ("no_such_module_here:Some-v0", {}, "in the module 'no_such_module_here', which is not imported for"),
    ("antigravity:Some-v0", {}, "in the module 'antigravity'"),
    ("antigravity:CartPole-v1", {}, "in the module 'antigravity'"),  # though that id is registered
    ("HalfCheetah-v5", {"xml_file": "/etc/passwd"}, "the argument '/etc/passwd', which may name a file"),
    ("HalfCheetah-v5", {"a": [{"b": "..\\x"}]}, "which may name a file"),
    ("HalfCheetah-v5", {"xml_file": "~root"}, "which may name a file"),
    ("PhysCartPole-v0", {"substeps": 10**9}, "at most 1,000 as substeps .*, got 1000000000"),
    ("HalfCheetah-v5", {"action_repeat": 10**400}, "at most 1,000 as action_repeat"),
    ("HalfCheetah-v5", {"frame_skip": 5_000}, "at most 1,000 as frame_skip .*, got 5000"),
    (3, {}, "with an environment id"),
    (None, {}, "with an environment id"),
    ("PhysCartPole-v0", [], "with an environment id"),
]


@pytest.mark.parametrize(("env_id", "env_kwargs", "message"), ASKED)
def test_environments_not_allowed_in_files_are_rejected(env_id: Any, env_kwargs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        declared_env({"env_id": env_id, "env_kwargs": env_kwargs})
    assert "antigravity" not in sys.modules


def test_names_that_are_not_text_are_skipped(path: Path) -> None:
    before = read(path)
    with h5py.File(path, "r+") as file:
        file[b"odd\xff"] = np.zeros(3)
        file.attrs[b"odd\xff"] = 3
    after = read(path)
    assert (set(after.arrays), after.metadata) == (set(before.arrays), before.metadata)


def test_a_file_imports_no_module(path: Path) -> None:
    write(path, Contents(ARRAYS, {"env_id": "antigravity:Some-v0"}, {}))
    with pytest.raises(InputError, match="import it yourself"):
        make_env_and_dataset(path)
    assert "antigravity" not in sys.modules


def test_environments_that_were_imported_may_be_named() -> None:
    gym.register("Imported-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=9)
    arguments = {"g": 9.0, "max_episode_steps": 100_000}
    asked = {"env_id": "gymnasium:Imported-v0", "env_kwargs": arguments}
    assert declared_env(asked) == ("gymnasium:Imported-v0", arguments)


def test_platform_specific_number_types_are_skipped(path: Path) -> None:
    before = read(path)
    with h5py.File(path, "r+") as file:
        file["infos/long"] = np.ones(ROWS, np.longdouble)
        file.attrs["long"] = np.longdouble(1)
        file.attrs["policy_weights/0/long"] = np.ones(3, np.longdouble)
    after = read(path)
    assert (set(after.arrays), after.metadata) == (set(before.arrays), before.metadata)
    assert after.weights == before.weights
    assert check(path)


@pytest.mark.parametrize("name", ["rewards", "terminals", "timeouts", "next_observations"])
def test_arrays_of_other_shapes(name: str) -> None:
    with pytest.raises(InputError, match=f"Expected {name} of shape"):
        Episodes.from_d4rl({**ARRAYS, name: np.stack([ARRAYS[name]] * 2, axis=-1)})  # (N, …) -> (N, …, 2)
