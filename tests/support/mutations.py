"""Random mutations of data set files by seed: corrupted and malicious files."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Generator = np.random.Generator
Mutation = Callable[[Path, Generator], None]  # changes the file in place

ARRAYS = ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts", "infos/qpos")
OTHER_TYPES: list[Any] = [
    np.int8, np.uint64, np.float16, np.float64, ">f4", ">i8", np.complex64, np.bool_, "S3", "V7",
    h5py.string_dtype(), h5py.ref_dtype, h5py.vlen_dtype(np.int32), h5py.enum_dtype({"NO": 0, "YES": 7}),
    np.dtype([("a", "f4"), ("b", "i2")]), np.dtype(("f4", (3,))),
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, -1, 0, 10**30, 1e308, float("nan"), "", "\x1b[31m\ud800", "x" * 100_000, [], {}, [[]],
    {"": {}}, "../../etc/passwd", "<script>", "os:system", [None, 1, "a"], {"tier": 1}, 2**63,
]  # fmt: skip
HUGE = 2**40  # rows


# Bytes


def flip_bits(path: Path, generator: Generator) -> None:
    """Flip a few bits anywhere."""
    data = bytearray(path.read_bytes())
    for place in generator.integers(0, 8 * len(data), 2 ** int(generator.integers(0, 9))):
        data[place // 8] ^= 1 << (place % 8)
    path.write_bytes(data)


def flip_bits_outside_values(path: Path, generator: Generator) -> None:
    """Flip a few bits outside the arrays' values: in HDF5's own structures and attributes."""
    data = bytearray(path.read_bytes())
    ours = np.ones(len(data), bool)
    with h5py.File(path) as file:
        for name in ARRAYS:
            array = file[name]
            for i in range(array.id.get_num_chunks()):
                chunk = array.id.get_chunk_info(i)
                ours[chunk.byte_offset : chunk.byte_offset + chunk.size] = False
    places = np.flatnonzero(ours)
    for place in generator.choice(places, 2 ** int(generator.integers(0, 7))):
        data[place] ^= 1 << int(generator.integers(0, 8))
    path.write_bytes(data)


def truncate(path: Path, generator: Generator) -> None:
    """Truncate the file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(generator.integers(0, len(data)))])


def overwrite(path: Path, generator: Generator) -> None:
    """Overwrite a random range with zeros, ones, noise or other bytes of the file."""
    data = bytearray(path.read_bytes())
    size = int(2 ** generator.uniform(0, 12))
    start, other = (int(place) for place in generator.integers(0, max(len(data) - size, 1), 2))
    filling = [bytes(size), b"\xff" * size, generator.bytes(size), bytes(data[other : other + size])]
    data[start : start + size] = filling[int(generator.integers(len(filling)))][:size]
    path.write_bytes(data)


def insert(path: Path, generator: Generator) -> None:
    """Insert or delete bytes."""
    data = path.read_bytes()
    start, size = int(generator.integers(0, len(data))), int(2 ** generator.uniform(0, 12))
    out = generator.random() < 0.5
    path.write_bytes(data[:start] + (b"" if out else generator.bytes(size)) + data[start + size * out :])


# Arrays


def _replaced(file: h5py.File, generator: Generator) -> tuple[str, Any]:
    """Remove a random array from the file; return its name and values."""
    name = str(generator.choice([array for array in ARRAYS if array in file]))
    values = file[name][()]
    del file[name]
    return name, values


def change_type(path: Path, generator: Generator) -> None:
    """Change the data type of an array."""
    with h5py.File(path, "r+") as file:
        name, values = _replaced(file, generator)
        kind = OTHER_TYPES[int(generator.integers(len(OTHER_TYPES)))]
        dtype = np.dtype(kind)
        if dtype.kind in "biufc" and dtype.subdtype is None and h5py.check_enum_dtype(dtype) is None:
            with np.errstate(all="ignore"):
                file.create_dataset(name, data=values.astype(dtype), compression="gzip")
        else:
            file.create_dataset(name, (len(values),), dtype=kind)


def change_shape(path: Path, generator: Generator) -> None:
    """Change an array's shape: no rows, more or fewer rows, a scalar, or further dimensions."""
    with h5py.File(path, "r+") as file:
        name, values = _replaced(file, generator)
        shapes: list[Any] = [
            values[:0], values[: len(values) // 2], np.concatenate([values, values]), values[0],
            values.ravel(), values[:, None], values[..., None], values.T,
            values.reshape(len(values), -1)[:, :0], None,
        ]  # fmt: skip
        shape = shapes[int(generator.integers(len(shapes)))]
        if shape is None:
            file.create_dataset(name, dtype="f4", data=h5py.Empty("f4"))
        else:
            file.create_dataset(name, data=shape)


def declare_huge(path: Path, generator: Generator) -> None:
    """Declare a huge number of unwritten rows for one array or all of them."""
    with h5py.File(path, "r+") as file:
        names = [array for array in ARRAYS if array in file]
        if generator.random() < 0.5:
            names = [str(generator.choice(names))]
        rows = int(2 ** generator.uniform(24, 60))
        for name in names:
            trailing, dtype = file[name].shape[1:], file[name].dtype
            values = file[name][()]
            del file[name]
            if generator.random() < 0.3:  # contiguous, and not allocated
                file.create_dataset(name, (min(rows, HUGE), *trailing), dtype)
                continue
            pack = {"compression": "gzip", "shuffle": True} if generator.random() < 0.7 else {}
            chunks = (int(2 ** generator.uniform(4, 20)), *trailing)
            array = file.create_dataset(
                name, values.shape, dtype, chunks=chunks, maxshape=(None, *trailing), **pack
            )
            array[:] = values
            array.resize(rows, axis=0)


def stretch_a_chunk(path: Path, generator: Generator) -> None:
    """Replace a chunk by one that inflates to fewer, more or vastly more bytes than declared."""
    with h5py.File(path, "r+") as file:
        array = file[str(generator.choice([array for array in ARRAYS if array in file]))]
        size = int(2 ** generator.uniform(0, 27))
        bomb = zlib.compress(bytes(size), 9) + generator.bytes(int(generator.integers(0, 3)))
        array.id.write_direct_chunk(
            (0,) * array.ndim, bomb, filter_mask=int(generator.choice([0, 0, 1, 2, 3]))
        )


def use_other_filters(path: Path, generator: Generator) -> None:
    """Store an array with other filters, or with several."""
    packs: list[dict[str, Any]] = [
        {"compression": "lzf"}, {"compression": "gzip", "fletcher32": True}, {"scaleoffset": 1},
        {"chunks": True},
        {"compression": "gzip", "compression_opts": 9, "shuffle": True, "fletcher32": True},
        {"compression": 32_001, "allow_unknown_filter": True},
    ]  # fmt: skip
    with h5py.File(path, "r+") as file:
        name, values = _replaced(file, generator)
        pack = packs[int(generator.integers(len(packs)))]
        if "allow_unknown_filter" in pack:
            file.create_dataset(name, values.shape, values.dtype, chunks=values.shape, **pack)
        else:
            file.create_dataset(name, data=values.view("u1") if values.dtype == bool else values, **pack)


# External files: the target is a named pipe, so opening it blocks forever


def point_elsewhere(path: Path, generator: Generator) -> None:
    """Link an array, the owner of an attribute or a whole group to another file."""
    elsewhere = str(path.with_name("pipe"))
    with h5py.File(path, "r+") as file:
        name, values = _replaced(file, generator)
        kind = int(generator.integers(5))
        if kind == 0:
            file[name] = h5py.ExternalLink(elsewhere, "/x")
        elif kind == 1:
            external = [(elsewhere, 0, h5py.h5f.UNLIMITED)]
            file.create_dataset(name, values.shape, values.dtype, external=external)
        elif kind == 2:
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            layout[:] = h5py.VirtualSource(elsewhere, "x", values.shape, values.dtype)
            file.create_virtual_dataset(name, layout)
        elif kind == 3:
            shapes = {
                "shape": (1, *values.shape[1:]),
                "dtype": values.dtype,
                "maxshape": (None, *values.shape[1:]),
            }
            layout, source = h5py.VirtualLayout(**shapes), h5py.VirtualSource(elsewhere, "x", **shapes)
            layout[: h5py.h5s.UNLIMITED, ...] = source[: h5py.h5s.UNLIMITED, ...]
            file.create_virtual_dataset(name, layout)
        else:
            file["infos/more"] = h5py.ExternalLink(elsewhere, "/")
            file[name] = h5py.SoftLink("/infos/more/x")


# Structure


def tangle(path: Path, generator: Generator) -> None:
    """Create cyclic links, groups in place of arrays, and many names for one array."""
    with h5py.File(path, "r+") as file:
        kind = int(generator.integers(6))
        if kind == 0:
            for i in range(50):
                file[f"infos/again{i}"] = file["infos"]
            file["infos/root"] = file["/"]
        elif kind == 1:
            name, _ = _replaced(file, generator)
            file[name] = h5py.SoftLink(f"/{name}")
        elif kind == 2:
            name, _ = _replaced(file, generator)
            file.create_group(name)
        elif kind == 3:
            for i in range(2_000):
                file[f"infos/same{i}"] = file["observations"]
        elif kind == 4:
            group = file["infos"]
            for _ in range(int(generator.integers(5, 3_000))):
                group = group.create_group("g")
            group["x"] = np.zeros(3)
        else:
            name, _ = _replaced(file, generator)
            file[name] = np.dtype("f4")


# Metadata


def change_metadata(path: Path, generator: Generator) -> None:
    """Replace random values anywhere in the metadata."""
    with h5py.File(path, "r+") as file:
        for _ in range(int(generator.integers(1, 4))):
            name = str(generator.choice(list(file.attrs)))
            value = file.attrs[name]
            if isinstance(value, str) and value[:1] in ("{", "["):
                file.attrs[name] = json.dumps(_changed(json.loads(value), generator))
            else:
                odd = _odd(generator)
                file.attrs[name] = odd if isinstance(odd, float) else json.dumps(odd)


def _odd(generator: Generator) -> Any:
    return ODD_VALUES[int(generator.integers(len(ODD_VALUES)))]


def _changed(value: Any, generator: Generator) -> Any:
    """Return a JSON value with an entry replaced or removed."""
    if not value or not isinstance(value, (dict, list)) or generator.random() < 0.15:
        return _odd(generator)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[int(generator.integers(len(keys)))]
    if generator.random() < 0.15:
        del value[key]
    else:
        value[key] = _changed(value[key], generator)
    return value


def change_attributes(path: Path, generator: Generator) -> None:
    """Write attributes that are not JSON, not text, too deep, too long, or of another type or shape."""
    others: list[Any] = [
        "[" * 100_000, "[" * 900 + "]" * 900, "{", "[1" + "0" * 10_000 + "]", "[NaN]", b"\xff\xfe",
        np.zeros((3, 4)), np.array(["a", "b"], "S1"), np.complex64(1), h5py.Empty("f4"), np.void(b"abc"),
        np.float32("nan"), np.uint64(2**64 - 1), np.zeros(0), np.zeros(1, [("a", "f4")]),
        np.array([b"a", b"bc"], h5py.string_dtype()),
    ]  # fmt: skip
    with h5py.File(path, "r+") as file:
        names = [
            *file.attrs,
            "policy_weights/0/fc1.weight",
            "policy_weights/x",
            "policy_weights/9/",
            "new",
            "",
        ]
        name = str(generator.choice(names))
        value = others[int(generator.integers(len(others)))]
        file.attrs[name or "é\n"] = value


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits_outside_values,
    flip_bits_outside_values,
    truncate,
    overwrite,
    insert,
    change_type,
    change_shape,
    declare_huge,
    stretch_a_chunk,
    use_other_filters,
    point_elsewhere,
    tangle,
    change_metadata,
    change_metadata,
    change_attributes,
)
BYTES = frozenset({flip_bits, flip_bits_outside_values, truncate, overwrite, insert})


def mutated(source: Path, path: Path, seed: int) -> str:
    """Write a mutated copy of a file; one in four is mutated twice, the second time in its bytes.

    Returns:
        What was done.
    """
    generator = np.random.default_rng(seed)
    shutil.copyfile(source, path)
    first = MUTATIONS[seed % len(MUTATIONS)]
    first(path, generator)
    if first in BYTES or generator.random() < 0.75:
        return first.__name__
    second = (flip_bits, overwrite)[int(generator.integers(2))]
    second(path, generator)
    return f"{first.__name__} and {second.__name__}"
