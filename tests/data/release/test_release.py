"""Releases: contents and manifest agree, and an interrupted release resumes."""

import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file as load_weights

from cartpole_phys.data import fetch as fetching
from cartpole_phys.data.fetch import Registry, Released, fetch
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe, released_recipes
from cartpole_phys.data.release import release as module
from cartpole_phys.data.release.card import card
from cartpole_phys.data.release.release import MANIFEST, publish_plan, release
from cartpole_phys.utils.errors import InputError

SMALL = [
    Recipe(policy="random", steps=500),
    Recipe(policy="heuristic", tier="mixed", steps=600),
    Recipe("PhysCartPoleDiscrete-v0", "ppo", "medium", steps=700),
]
NAMES = [recipe.name for recipe in SMALL]
RANDOM, MIXED, AGENT = NAMES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release of a small catalogue."""
    monkeypatch.setattr(module, "released_recipes", lambda: dict(zip(NAMES, SMALL, strict=True)))
    assert release(tmp_path / "v0") == NAMES
    return tmp_path / "v0"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_all_files_exist_with_their_hashes(folder: Path) -> None:
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = {name: sha256 for sha256, name in lines}
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert sums == {name: _sha256(path) for name, path in files.items() if name != "SHA256SUMS"}
    for name in NAMES:
        beside = {f"{name}.parquet", f"{name}.croissant.json", f"cards/{name}.md"}
        assert {f"{name}.hdf5", *beside} <= set(files)
    assert {"manifest.json", "LICENSE", "CITATION.cff", f"{AGENT}.safetensors"} <= set(files)
    assert f"{RANDOM}.safetensors" not in files


def test_the_manifest_matches_the_files(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["version"] == "v0"
    assert list(manifest["files"]) == NAMES
    for name, stated in manifest["files"].items():
        path = folder / f"{name}.hdf5"
        data = load_file(path)
        assert (stated["bytes"], stated["sha256"]) == (path.stat().st_size, _sha256(path))
        assert (stated["transitions"], stated["episodes"]) == (data.steps, len(data))
        assert stated["arrays"] == data.metadata["sha256"]
        assert stated["command"] == data.metadata["command"]


def test_weights_are_those_of_the_file(folder: Path) -> None:
    weights = load_weights(folder / f"{AGENT}.safetensors")
    for name, array in read_header(folder / f"{AGENT}.hdf5").weights["0"].items():
        np.testing.assert_array_equal(weights[f"0/{name}"], array)


def test_a_release_resumes_and_repairs(folder: Path) -> None:
    kept, damaged = folder / f"{RANDOM}.hdf5", folder / f"{MIXED}.hdf5"
    before, content = kept.stat().st_mtime_ns, damaged.read_bytes()
    damaged.write_bytes(content[:2_000] + bytes(9) + content[2_009:])
    (folder / f"{AGENT}.hdf5").unlink()
    (folder / f"{AGENT}.hdf5.partial").write_bytes(b"left by a killed build")
    release(folder)
    assert kept.stat().st_mtime_ns == before
    assert damaged.read_bytes() == content
    test_all_files_exist_with_their_hashes(folder)


def test_a_pattern_adds_to_an_existing_release(folder: Path) -> None:
    (folder / f"{RANDOM}.hdf5").unlink()
    assert release(folder, "*mixed*") == [MIXED, AGENT]
    assert release(folder, "*random*") == NAMES
    with pytest.raises(
        InputError, match="No data set matches '\\*hopper\\*'; choose from physcartpole-random"
    ):
        release(folder, "*hopper*")


def test_a_released_file_is_fetched(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = json.loads((folder / "manifest.json").read_text())
    files = {name: Released(name, one["bytes"], one["sha256"]) for name, one in stated["files"].items()}
    monkeypatch.setattr(fetching, "registry", lambda: Registry("v0", (str(folder),), files))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert fetch(RANDOM).read_bytes() == (folder / f"{RANDOM}.hdf5").read_bytes()


def test_the_plan_names_every_file(folder: Path, tmp_path: Path) -> None:
    create, *hub = publish_plan(folder)
    assert create.startswith("gh release create data-v0 --title 'Data sets v0'")
    for name in NAMES:
        assert f"{folder / name}.hdf5" in create
    assert len(hub) == 3
    for command in hub:  # Hugging Face's command line accepts it with every option
        _, *words = shlex.split(command)
        hf = str(Path(sys.executable).with_name("hf"))
        told = subprocess.run([hf, *words, "--help"], capture_output=True, text=True, check=True, timeout=120)
        assert all(word in told.stdout for word in words if word.startswith("--"))
    with pytest.raises(InputError, match=r"there is no manifest\.json"):
        publish_plan(tmp_path)
    (tmp_path / MANIFEST).write_text('{"schema_version": 1}')
    with pytest.raises(InputError, match=r"with its version, but .* is another file"):
        publish_plan(tmp_path)
    with pytest.raises(InputError, match=r"with its date, but .* is another file"):
        release(tmp_path, NAMES[0])
    assert not list(tmp_path.glob("*.hdf5"))  # before anything was built


def test_cards_match_the_file(folder: Path) -> None:
    for name in NAMES:
        text, metadata = (
            (folder / "cards" / f"{name}.md").read_text(),
            read_header(folder / f"{name}.hdf5").metadata,
        )
        for expected in (
            name,
            metadata["command"],
            "CC BY 4.0",
            f"{metadata['scores'][0]['score']:.1f}",
            "## Limitations",
        ):
            assert expected in text


@pytest.mark.filterwarnings("ignore")  # of the libraries that mlcroissant imports
@pytest.mark.parametrize("name", NAMES)
def test_croissant_is_valid_and_leads_to_the_rows(folder: Path, name: str) -> None:
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(folder / f"{name}.croissant.json"))
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    data = load_file(folder / f"{name}.hdf5")
    for record, episode in zip(dataset.records("episodes"), data, strict=True):
        np.testing.assert_array_equal(np.array(record["episodes/observations"]), episode.observations)
        np.testing.assert_array_equal(np.array(record["episodes/rewards"]), episode.rewards)
        assert record["episodes/truncated"] == (not episode.terminated)


def test_every_released_recipe_has_a_card() -> None:
    measured = {"score": 50.0, "score_low": 49.0, "score_high": 51.0}
    summary = {"transitions": 9, "episodes": 2, "complete_episodes": 1}
    for name, recipe in released_recipes().items():
        parts = [{"tier": part.tier} for part in recipe.parts]
        metadata = {
            "algorithm": recipe.policy,
            "tier": recipe.tier,
            "env_id": recipe.env_id,
            "command": recipe.command,
            "summary": summary,
            "parts": parts,
            "scores": [measured] * len(parts),
            "versions": {"numpy": "2"},
            "git_commit": "0123456789",
        }
        text = card(name, metadata, 1, "0" * 64)
        assert f"# {name}" in text
        assert "| commit | 0123456789 |" in text
