"""The committed registry matches the release."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.catalogue import DATASETS, take_in
from cartpole_phys.data.fetch import registry
from cartpole_phys.data.recipe import released_recipes
from cartpole_phys.data.release.identity import REGISTRY, arrays_sha256
from cartpole_phys.utils.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _release(folder: Path, *commits: str) -> Path:
    """Write a release without its data."""
    files = {
        f"set-{i}": {"bytes": i, "sha256": "0" * 64, "arrays": {}, "versions": {}, "git_commit": commit}
        for i, commit in enumerate(commits)
    }
    (folder / "cards").mkdir(parents=True)
    (folder / "cards" / "set-0.md").write_text("# set-0")
    (folder / "manifest.json").write_text(json.dumps({"version": "v7", "files": files}))
    for name in ("SHA256SUMS", "LICENSE", "CITATION.cff"):
        (folder / name).write_text(name)
    return folder


def test_a_release_is_taken_in_once(tmp_path: Path) -> None:
    known = tmp_path / "registry.json"
    known.write_text(json.dumps({"version": "v6", "mirrors": ["https://mirror"], "files": {}}))
    release = _release(tmp_path / "release", COMMIT, COMMIT)
    place = take_in(release, tmp_path / "datasets", known)
    taken = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    expected = {"manifest.json", "SHA256SUMS", "LICENSE", "CITATION.cff", "cards/set-0.md"}
    assert taken == expected | {"ERRATA.md", "reproduce.sh"}
    same = {"sha256": "0" * 64, "versions": {}, "arrays_sha256": arrays_sha256({})}
    files = {name: {"bytes": i, **same} for i, name in enumerate(("set-0", "set-1"))}
    stated = json.loads(known.read_text())
    assert stated == {"version": "v7", "mirrors": ["https://mirror"], "files": files}
    assert f"git checkout --quiet {COMMIT}" in (place / "reproduce.sh").read_text()
    subprocess.run(["bash", "-n", str(place / "reproduce.sh")], check=True)
    with pytest.raises(InputError, match=r"in '.*v7' already, and versions are not changed"):
        take_in(release, tmp_path / "datasets", known)


@pytest.mark.parametrize("commits", [(COMMIT, "f" * 40), ("",), (f"{COMMIT}-dirty",)])
def test_irreproducible_releases_are_rejected(tmp_path: Path, commits: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="one clean commit"):
        take_in(_release(tmp_path / "release", *commits), tmp_path / "datasets")
    with pytest.raises(InputError, match="build it with: cartpole-phys release"):
        take_in(tmp_path, tmp_path / "datasets")


def test_the_registry_is_the_committed_release() -> None:
    place = DATASETS / registry().version
    manifest = json.loads((place / "manifest.json").read_text())
    stated = json.loads(REGISTRY.read_text())["files"]
    assert list(stated) == list(manifest["files"]) == list(released_recipes())
    sums = dict(line.split("  ")[::-1] for line in (place / "SHA256SUMS").read_text().splitlines())
    for name, recipe in released_recipes().items():
        file, card = manifest["files"][name], (place / "cards" / f"{name}.md").read_text()
        copied = {key: file[key] for key in ("bytes", "sha256", "versions")}
        assert stated[name] == {**copied, "arrays_sha256": arrays_sha256(file["arrays"])}
        assert sums[f"{name}.hdf5"] == file["sha256"]
        assert recipe.command == file["command"]
        assert file["sha256"] in card
        assert re.search(r"^\| licen[cs]e \| CC BY 4.0 \|$", card, re.MULTILINE)
