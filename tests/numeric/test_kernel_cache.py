"""The kernel cache: keys, concurrent writers, and fallback to compilation on errors."""

import hashlib
import importlib
import os
import pickle
import pkgutil
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from numba.core.registry import cpu_target

import cartpole_phys
from cartpole_phys.kernels.closed_loop import simulate_kernel
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.kernels.observe import sensor_of
from cartpole_phys.kernels.reset import begin_kernel, restart_kernel
from cartpole_phys.kernels.scalar import begin_one_kernel, step_one_kernel
from cartpole_phys.kernels.step import Kind, step_kernel
from cartpole_phys.numeric import compiled, kernel_cache
from cartpole_phys.numeric.compiled import kernel, kernel_sources
from cartpole_phys.numeric.kernel_cache import KernelCache
from cartpole_phys.tasks import TASKS
from cartpole_phys.tasks.balance import BALANCE
from tests.support.commands import NOTICE

PROGRAM = """
import numpy as np
from cartpole_phys.physics import Params, energy
print(energy(np.zeros((4, 1)), Params())[0])
"""
EXPECTED = "0.49"  # m g l, at rest upright

Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "empty": lambda data: b"",
    "truncated in its checksum": lambda data: data[:10],
    "truncated": lambda data: data[: len(data) // 2],
    "another pickle": lambda data: pickle.dumps({"key": "value"}),
    "not a pickle": lambda data: b"\x80garbage" + data,
    "one bit": lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
    "another pickle with its checksum": lambda data: _sealed(pickle.dumps({"key": "value"})),
    "pickle of a missing module": lambda data: _sealed(b"cno_such_module\nname\n."),
}


def _sealed(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest() + payload


def _double(x: float) -> float:
    return 2.0 * x


def _compile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Call a new kernel cached in a folder, as a new process would, and return the warnings."""
    monkeypatch.setattr(compiled, "CACHE_FOLDER", folder)
    monkeypatch.setattr(kernel_cache, "_warned", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [kernel(_double)(x) for x in (1.5, 2)] == [3.0, 4.0]  # two kernels, two signatures
    return [str(warning.message) for warning in caught]


def _counter(step: float) -> Callable[[float], float]:
    return lambda x: x + step + 0.123456


def test_cache_key_depends_on_the_code_only() -> None:
    """The output of ``marshal`` depends on reference counts, so it cannot be the key."""
    counter = _counter(1.0)
    key = kernel_cache._described(counter)
    held = [*counter.__code__.co_consts, *counter.__code__.co_names, counter.__code__.co_varnames]
    assert kernel_cache._described(counter) == key
    assert held
    assert kernel_cache._described(_counter(1.0)) == key
    others = [_counter(2.0), lambda x: x + 1.0, _double]
    assert key not in [kernel_cache._described(other) for other in others]


WEIGHT = 2.0


@compiled.inlined
def _weighted(x: float) -> float:
    return WEIGHT * x


def _reward(x: float) -> float:
    return 1.0 - _weighted(x)


def test_constants_and_callees_outside_the_package_are_part_of_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The folder name covers the package's sources only; tasks may be defined elsewhere."""
    before = kernel_cache._described(_reward)
    monkeypatch.setitem(globals(), "WEIGHT", 3.0)
    assert kernel_cache._described(_reward) != before
    monkeypatch.setitem(globals(), "WEIGHT", 2.0)
    assert kernel_cache._described(_reward) == before


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Limit the size of written files to emulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1_000])
def test_full_disk_emits_a_warning(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_cache, "NOTICE_AFTER", 0.0)  # stderr is a file here, so the notice fails too
    monkeypatch.setattr(kernel_cache, "_notice", kernel_cache._Notice())
    with _largest_file(size):
        (warning,) = _compile(tmp_path / "kernels", monkeypatch)
    assert str(tmp_path / "kernels") in warning
    assert _files(tmp_path) == []
    assert _compile(tmp_path / "kernels", monkeypatch) == []
    assert len(_files(tmp_path)) == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_emits_a_warning_and_is_replaced(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _compile(tmp_path, monkeypatch) == []
    for path in _files(tmp_path):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    (warning,) = _compile(tmp_path, monkeypatch)
    assert f"'{tmp_path}'" in warning
    assert _compile(tmp_path, monkeypatch) == []


@pytest.mark.parametrize("folder", ["/proc/kernels", "{tmp}/file", "{tmp}/file/kernels", "~/.cache/kernels"])
def test_unusable_folder_emits_a_warning(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    path = Path(folder.format(tmp=tmp_path))
    (warning,) = _compile(path, monkeypatch)
    assert f"'{path}'" in warning
    assert _files(tmp_path) == [tmp_path / "file"]


def test_complete_cache_works_in_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _compile(tmp_path, monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in _files(tmp_path)}
    with _largest_file(0):
        assert _compile(tmp_path, monkeypatch) == []
    assert {path: path.stat().st_mtime_ns for path in _files(tmp_path)} == before


def test_concurrent_writers_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = KernelCache(_double, tmp_path)
    path = tmp_path / "name.kernel"
    contents = [bytes([i]) * 100_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: cache._write(path, data), contents * 4))
    assert path.read_bytes() in contents
    assert _files(tmp_path) == [path]


def test_all_kernels_use_the_cache() -> None:
    kernels: dict[str, Any] = {}
    sources = {path.stem for path in kernel_sources()}
    for module in pkgutil.walk_packages(cartpole_phys.__path__, "cartpole_phys."):
        if module.name.split(".")[-1] in sources:
            for name, value in vars(importlib.import_module(module.name)).items():
                if hasattr(value, "py_func") and "no_cpython_wrapper" not in value.targetoptions:
                    kernels[name] = value
    assert {"act_columns", "energies", "gather_rows"} <= kernels.keys()
    of_task = BALANCE.reward, BALANCE.observation
    made: list[Any] = [make("rk4", Kind(False, True, *of_task)) for make in (step_kernel, simulate_kernel)]
    made += [begin_kernel(True), restart_kernel(True, sensor_of(BALANCE.observation, True))]
    made += [begin_one_kernel(True, BALANCE.observation, True), step_one_kernel("rk4", True, *of_task, True)]
    kernels |= {own.py_func.__qualname__: own for own in made}
    assert [name for name, own in kernels.items() if not isinstance(own._cache, KernelCache)] == []


def test_kernel_variants_have_separate_files(tmp_path: Path) -> None:
    kinds = [
        Kind(alike, friction, task.reward, task.observation, plain)
        for alike, friction, plain in product((True, False), repeat=3)
        for task in TASKS.values()
    ]
    variants: list[Any] = [step_kernel(integrator, kind) for integrator in INTEGRATORS for kind in kinds]
    variants += [begin_kernel(randomized) for randomized in (False, True)]
    caches = [KernelCache(variant.py_func, tmp_path) for variant in variants]
    keys = {cache._path((), cpu_target.target_context) for cache in caches}
    assert len(keys) == len(variants)
    again = KernelCache(variants[0].py_func, tmp_path)
    assert again._path((), cpu_target.target_context) in keys


def test_compilation_notice_is_printed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for after, expected in ((0.0, 1), (60.0, 0)):
        monkeypatch.setattr(kernel_cache, "NOTICE_AFTER", after)
        monkeypatch.setattr(kernel_cache, "_notice", kernel_cache._Notice())
        _compile(tmp_path / str(after), monkeypatch)
        notice = capfd.readouterr().err
        assert notice == NOTICE * expected
    monkeypatch.setattr(kernel_cache, "NOTICE_AFTER", 0.0)
    _compile(tmp_path / "0.0", monkeypatch)  # warm
    assert capfd.readouterr().err == ""


def test_new_process_works_without_a_cache(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000)),
    )
    assert (result.returncode, result.stdout[:4]) == (0, EXPECTED), result.stderr
    assert result.stderr.count("RuntimeWarning: Cannot use the kernel cache") == 1
    assert result.stderr.count(f"'{tmp_path}/cartpole-phys/kernels/") == 1
