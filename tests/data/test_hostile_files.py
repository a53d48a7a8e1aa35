"""Mutated data set files: unchanged data or a one-line rejection, within time and memory limits.

``mutations.py`` makes the files, ``hostile_worker.py`` looks at them with every command that reads one.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

from cartpole_phys import build_dataset
from tests.support.hostile_worker import hashes
from tests.support.mutations import mutated

FILES = 32  # each mutation of two sources
ALL_FILES, BATCH = 10_000, 1_250
LIMIT = 10.0  # CPU seconds for one command
HUNG = 180.0  # wall-clock seconds for one file, also on a loaded machine
MEMORY = 1_000_000_000  # bytes
WORKER = Path(__file__).parents[1] / "support" / "hostile_worker.py"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small sets of every kind, one of them in HDF5's oldest format, which has no checksums."""
    out = tmp_path_factory.mktemp("sources")
    noisy = {"push_rate": 5.0, "observation_noise": 0.01}
    made = [
        build_dataset(policy="heuristic", tier="mixed", steps=600, out=out),
        build_dataset(policy="random", steps=600, env_kwargs=noisy, out=out),
        build_dataset(policy="sac", tier="medium", steps=500, out=out),
    ]
    with h5py.File(made[0]) as file, h5py.File(out / "oldest.hdf5", "w", libver="earliest") as copy:
        for name in file:
            file.copy(name, copy)
        copy.attrs.update(file.attrs)
    return [*made, out / "oldest.hdf5"]


class Looker:
    """A worker process, restarted only after a crash or a hang."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = self._start()

    def look(self, path: Path) -> dict[str, Any] | str:
        """The outcome of a file, or how the worker ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], HUNG)
        line = self._process.stdout.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        if not ready:
            self._process.kill()
        ending = f"died with code {self._process.wait()}" if ready else "hung"
        self._process = self._start()
        return ending

    def close(self) -> None:
        """Stop the worker."""
        self._process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._folder,
        )


@pytest.fixture
def looker(tmp_path: Path) -> Iterator[Looker]:
    """A worker in a folder with a named pipe, which blocks forever when a file makes it open it."""
    os.mkfifo(tmp_path / "pipe")
    looking = Looker(tmp_path)
    yield looking
    looking.close()


def _faults(answer: dict[str, Any] | str, expected: dict[str, str]) -> list[str]:
    """Violations in the outcome of a file."""
    if isinstance(answer, str):
        return [answer]
    faults = [f"took {answer['bytes']:,} bytes"] if answer["bytes"] > MEMORY else []
    if answer["hashes"] not in (None, expected):
        faults.append("passed though it is not what was written")
    for name, look in answer["looks"].items():
        words, refused = look["words"], look["code"] == 2
        error_summary = words.startswith("error: ") and words.count("\n") == 1
        if look["trace"] or look["code"] not in (0, 1, 2) or (not error_summary if refused else words):
            faults.append(f"{name}: {look['code']} {words} {look['trace'][-500:]}")
        if look["seconds"] > LIMIT:
            faults.append(f"{name} took {look['seconds']:.0f} s")
    return faults


def _look_at(seeds: range, sources: list[Path], looker: Looker, folder: Path) -> None:
    expected = [hashes(source) for source in sources]
    found = {}
    for seed in seeds:
        number, path = (seed + seed // 16) % len(sources), folder / "set.hdf5"
        done = mutated(sources[number], path, seed)
        faults = _faults(looker.look(path), expected[number])
        if faults:
            found[f"{seed} {done}"] = faults
    assert not found


def test_mutated_files_are_rejected_or_unchanged(sources: list[Path], looker: Looker, tmp_path: Path) -> None:
    _look_at(range(FILES), sources, looker, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FILES, ALL_FILES + FILES, BATCH))
def test_ten_thousand_files(first: int, sources: list[Path], looker: Looker, tmp_path: Path) -> None:
    _look_at(range(first, first + BATCH), sources, looker, tmp_path)


def test_violations_are_detected(sources: list[Path], looker: Looker, tmp_path: Path) -> None:
    expected = hashes(sources[0])
    assert _faults(looker.look(sources[0]), expected) == []
    assert "not what was written" in _faults(looker.look(sources[1]), expected)[0]
    assert _faults("hung", expected) == ["hung"]
    bad = {"code": -1, "words": "", "trace": "Traceback", "seconds": 11.0}
    faults = _faults({"looks": {"check": bad}, "bytes": 2 * MEMORY, "hashes": None}, expected)
    assert len(faults) == 3


def test_following_external_links_is_detected(sources: list[Path], looker: Looker, tmp_path: Path) -> None:
    path = tmp_path / "set.hdf5"
    with h5py.File(sources[0]) as file, h5py.File(path, "w") as copy:
        copy["observations"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/x")
        file.copy("rewards", copy)
    read = [sys.executable, "-c", "import sys, h5py; h5py.File(sys.argv[1])['observations']", str(path)]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(read, timeout=3.0, check=False)
    assert _faults(looker.look(path), {}) == []
