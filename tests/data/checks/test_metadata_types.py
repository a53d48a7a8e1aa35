"""Metadata of a wrong JSON type: a gate fails or the file is rejected, without other exceptions."""

import json
from pathlib import Path
from typing import Any

import h5py
import pytest

from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.checks.run import check
from cartpole_phys.utils.errors import InputError


def _passes(path: Path, name: str, value: Any) -> bool:
    """Whether a file passes with another value of an attribute."""
    with h5py.File(path, "r+") as file:
        before = file.attrs[name]
        file.attrs[name] = json.dumps(value)
    try:
        return check(path).passed
    except InputError:
        return False
    finally:
        with h5py.File(path, "r+") as file:
            file.attrs[name] = before


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([["x"]], id="lists"),
        pytest.param({"x": []}, id="object", marks=pytest.mark.slow),
        pytest.param(None, id="null", marks=pytest.mark.slow),
    ],
)
def test_metadata_of_a_wrong_type_fails(value: Any, tmp_path: Path) -> None:
    path = build_dataset(policy="heuristic", tier="mixed", steps=600, score_episodes=100, out=tmp_path)
    with h5py.File(path) as file:
        names = list(file.attrs)
        nested = {name: json.loads(file.attrs[name]) for name in ("recipe", "parts")}
    assert check(path).passed
    assert not [name for name in names if _passes(path, name, value)]
    recipe, parts = nested["recipe"], nested["parts"]
    assert not [
        key for key in recipe if recipe[key] != value and _passes(path, "recipe", {**recipe, key: value})
    ]
    for key in parts[0]:
        assert not _passes(path, "parts", [{**parts[0], key: value}, *parts[1:]]), key
