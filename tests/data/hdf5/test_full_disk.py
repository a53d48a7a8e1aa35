"""Full disks and file size limits: a one-line error, no traceback, no partial file."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cartpole_phys.data.exports.export import FORMATS
from cartpole_phys.data.hdf5.write_errors import Storage
from tests.support.commands import without_notice

COMMAND = [sys.executable, "-c", "from cartpole_phys.cli import main; main()"]
BUILD = ["build", "--policy", "random", "--steps", "100000", "--quiet", "--jobs", "1"]
# Each writer with several limits on the size of a file, in one process that has to survive all of them.
PROGRAM = """
import json, resource, shutil, sys
from pathlib import Path
from cartpole_phys import build_dataset
from cartpole_phys.utils.progress import Silent
from cartpole_phys.data.exports.export import FORMATS, export
from cartpole_phys.data.report.show import show, write_page
from cartpole_phys.utils.errors import InputError

source, folder = map(Path, sys.argv[1:])
build = {"policy": "random", "steps": 2_000, "jobs": 1, "out": folder, "name": "set"}
shown = show(source, Silent())
writers = {
    "file": lambda: build_dataset(**build),
    "D4RL version 2": lambda: build_dataset(**build, d4rl_v2_metadata=True),
    "shards": lambda: build_dataset(**build, shard_steps=1_000),
    "page": lambda: write_page(shown, folder / "page.html"),
    **{to: lambda to=to: export(source, to, folder) for to in FORMATS},
}
no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
said = {}
for name, write in writers.items():
    write()
    size, said[name] = max(path.stat().st_size for path in folder.rglob("*")), []
    for limit in (0, 100, size // 3, size // 3 * 2, size - 1):
        shutil.rmtree(folder)
        folder.mkdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, no_limit[1]))
        try:
            write()
        except InputError as error:
            said[name].append([str(error), sorted(path.name for path in folder.rglob("*") if path.is_file())])
        else:
            said[name].append(["written", []])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
    shutil.rmtree(folder)
    folder.mkdir()
print(json.dumps(said))
"""
LEFT = {"namespace_metadata.json", "shard-00000-of-00002.hdf5"}  # whole files: Minari's, a finished shard


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 500 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_build_on_a_full_disk(small_disk: Path) -> None:
    _ends_in_one_line([*BUILD, "--out", str(small_disk)], small_disk)


def test_an_export_to_minari_on_a_full_disk(random_file: Path, small_disk: Path) -> None:
    _ends_in_one_line(["export", str(random_file), "--to", "minari", "--out", str(small_disk)], small_disk)


def _ends_in_one_line(words: list[str], disk: Path) -> None:
    result = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=120, check=False)
    stderr = without_notice(result.stderr)
    assert stderr.startswith("error: Cannot write")
    assert "(No space left on device); free some space there" in stderr
    assert len(stderr.splitlines()) == 1
    assert result.returncode == 2
    assert {path.name for path in disk.rglob("*") if path.is_file()} <= LEFT


def test_every_writer_survives_a_limit_on_the_size_of_files(discrete_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(discrete_file), str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, without_notice(result.stderr)) == (0, "")
    said = json.loads(result.stdout)
    assert set(said) == {"file", "D4RL version 2", "shards", "page", *FORMATS}
    for name, cases in said.items():
        for words, held in cases:
            assert words.startswith("Cannot write"), name
            assert "(File too large); raise the limit on the size of files (ulimit -f)" in words
            assert set(held) <= LEFT, name


def test_a_write_of_which_only_a_part_fits_is_an_error(tmp_path: Path) -> None:
    storage, limits = Storage(tmp_path / "file", "w"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert storage.write(bytes(range(150))) == 150
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    storage.seek(0)
    content = bytearray(150)
    storage.readinto(content)
    storage.close()
    assert content == bytes(range(150))
    with pytest.raises(OSError, match="File too large"):
        storage.raise_error()
