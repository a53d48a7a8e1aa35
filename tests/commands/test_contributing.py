"""Files, targets and steps named in CONTRIBUTING.md, the templates and the workflows exist."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.readme import ROOT, commands, inline_code

PAGE = ROOT / "CONTRIBUTING.md"
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PLACEHOLDER = "NAME"  # of the module added by a recipe
RECIPES = ("a task", "a tier", "a model", "an export format", "an integrator")


def _read(file: Path) -> dict[str, Any]:
    text: dict[Any, Any] = yaml.safe_load(file.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in text.items()}  # YAML 1.1 reads on as True


def _paths() -> list[str]:
    words = [word for text in (*commands(PAGE), *inline_code(PAGE)) for word in text.split()]
    return [word for word in words if re.fullmatch(r"[\w./]+(/|\.(py|md|cfg|yml))", word)]


def test_named_paths_exist() -> None:
    paths = _paths()
    assert len(paths) > 20
    for path in paths:
        place = ROOT / path
        assert (place.parent.is_dir() and not place.exists()) if PLACEHOLDER in path else place.exists(), path


def test_every_recipe_exists_with_its_number_of_files() -> None:
    """The numbered steps name one file each, in the number given by the first sentence."""
    numbers = {"One": 1, "Two": 2, "Three": 3, "one": 1, "two": 2, "three": 3}
    sections = re.split(r"^## Adding (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    recipes = dict(zip(sections[::2], sections[1::2], strict=True))
    assert set(recipes) == set(RECIPES)
    for name, text in recipes.items():
        promised = sum(
            numbers[word] for word in re.findall(r"\b([Oo]ne|[Tt]wo|[Tt]hree)\b", text.split("\n\n")[1])
        )
        assert len(re.findall(r"^\d\. `[^`]+`", text, re.MULTILINE)) == promised, name


def test_make_targets_exist() -> None:
    texts = (*commands(PAGE), *inline_code(PAGE), *(run for file in WORKFLOWS for run in _runs(file)))
    targets = {target for text in texts for target in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)}
    assert {"lint", "test", "wheel"} <= targets
    subprocess.run(["make", "--dry-run", *sorted(targets)], cwd=ROOT, capture_output=True, check=True)


def _steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in _read(file)["jobs"].values():
        yield from job.get("steps", ())


def _runs(file: Path) -> list[str]:
    return [step["run"] for step in _steps(file) if "run" in step]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_are_complete(file: Path) -> None:
    workflow = _read(file)
    assert {"name", "on", "permissions", "jobs"} <= workflow.keys()
    for job in workflow["jobs"].values():
        needed = job.get("needs", [])
        assert {needed} <= workflow["jobs"].keys() if isinstance(needed, str) else not needed
        if "uses" in job:
            assert "workflow_call" in _read(ROOT / job["uses"])["on"]
        else:
            assert {"runs-on", "timeout-minutes", "steps"} <= job.keys()
    for step in _steps(file):
        assert ("run" in step) != ("uses" in step), step
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./]+", step["uses"]), step
        else:
            subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)


def test_tests_run_on_every_supported_python_and_on_the_oldest_dependencies() -> None:
    matrix = _read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]
    setup = (ROOT / "setup.cfg").read_text("utf-8")
    supported = re.findall(r"Python :: (3\.\d+)", setup)
    assert matrix["python"] == supported
    floor = {"python": supported[0], "dependencies": "oldest"}
    assert floor in matrix["include"]
    assert f"python_requires = >={supported[0]}" in setup


def test_wheel_is_published_after_the_tests() -> None:
    publish = _read(ROOT / ".github" / "workflows" / "publish.yml")
    data = _read(ROOT / ".github" / "workflows" / "release-data.yml")
    job = publish["jobs"]["publish"]
    assert job["needs"] == "test"
    assert job["permissions"]["id-token"] == "write"
    assert (publish["on"]["push"]["tags"], data["on"]["push"]["tags"]) == (["v*"], ["data-v*"])


@pytest.mark.parametrize("file", sorted(TEMPLATES.glob("[!c]*.yml")), ids=lambda file: file.stem)
def test_issue_templates_are_forms(file: Path) -> None:
    form = _read(file)
    assert {"name", "description", "body"} <= form.keys()
    identities = [field["id"] for field in form["body"]]
    assert len(set(identities)) == len(identities)
    assert all(field["attributes"]["label"] for field in form["body"])
