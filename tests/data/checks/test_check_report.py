"""The report returned by ``check``."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from cartpole_phys import check


@pytest.fixture
def broken(random_file: Path, tmp_path: Path) -> Path:
    """The random set with one reward changed."""
    path = tmp_path / "broken.hdf5"
    path.write_bytes(random_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file["rewards"][7] = np.float32(2.0)
    return path


def test_a_valid_file_passes(random_file: Path) -> None:
    report = check(random_file)
    assert report.passed is True
    assert [result.gate for result in report][:2] == ["schema", "flags"]
    assert report[0].status == "passed"
    assert len(report) == len(report[:])


def test_a_corrupted_file_fails(broken: Path) -> None:
    report = check(broken)
    assert report.passed is False
    assert "rewards" in report["hashes"].detail
    with pytest.raises(KeyError, match=r"Expected one of schema, flags, .*, got 'hash'"):
        report["hash"]


def test_the_report_is_shown_as_one_line_per_gate(broken: Path) -> None:
    report = check(broken)
    first, *lines = repr(report).splitlines()
    assert first == "Validation failed: replay, hashes, metadata"
    assert [line[0] for line in lines] == [result.mark for result in report]
    assert all(result.detail in line for result, line in zip(report, lines, strict=True))
