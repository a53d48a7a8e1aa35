"""Untrusted pickles: arrays are read, no code runs, and no other object is created."""

import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole_phys import load_dataset
from cartpole_phys.data.exports import pickle as pickled
from cartpole_phys.utils.errors import InputError
from tests.support.forgeries import FORGERIES, PROGRAM


class Dangerous:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return subprocess.check_output, (["touch", "ran"],)


def _pickle(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def test_pickles_that_could_run_code_are_rejected_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, value in enumerate(([Dangerous()], {"a": Dangerous()}, [{"observations": Dangerous()}])):
        with pytest.raises(InputError, match=r"subprocess\.check_output, which could run code"):
            pickled.read(_pickle(tmp_path / f"{number}.pkl", value))
    with pytest.raises(InputError, match=r"builtins\.eval"):
        pickled.read(_pickle(tmp_path / "eval.pkl", [eval]))
    with pytest.raises(InputError, match=r"numpy.*could run code"):
        pickled.read(_pickle(tmp_path / "load.pkl", [np.load]))
    with pytest.raises(InputError, match="could run code"):
        load_dataset(tmp_path / "0.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_forged_pickles_create_no_objects_and_read_no_memory(forgery: str, tmp_path: Path) -> None:
    ended = subprocess.run(  # a crash would take pytest along
        [sys.executable, "-c", PROGRAM.format(forgery), tmp_path / "forged.pkl"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ended.returncode, ended.stderr[:8]) == (1, "refused:"), ended


EPISODE: dict[str, Any] = {
    "observations": np.arange(8, dtype=np.float32).reshape(4, 2),
    "actions": np.zeros((4, 1), np.float32),
    "rewards": np.ones(4),
}


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_pickles_of_any_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    others = {
        "n": np.float64(3.0),
        "name": np.str_("a"),
        "infos": np.array([{}]),
        "when": np.datetime64("2020"),
    }
    turned = EPISODE["observations"].copy("F").astype(">f8")
    listed = [
        OrderedDict(EPISODE),
        {**EPISODE, "terminals": np.array([0, 0, 0, 1]), "rewards": list(EPISODE["rewards"]), **others},
        {**EPISODE, "observations": turned, "actions": list(EPISODE["actions"])},
    ]
    data = pickled.read(_pickle(tmp_path / "data.pkl", listed, protocol))
    assert (len(data), data.steps) == (3, 12)
    assert data.terminations.tolist() == [False] * 7 + [True] + [False] * 4
    assert data.truncations.tolist() == [False] * 3 + [True] + [False] * 7 + [True]
    for name, expected in EPISODE.items():
        np.testing.assert_array_equal(getattr(data, name), np.concatenate([expected] * 3))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "Expected a list of episodes"),
        ([], "Expected a list of episodes"),
        ([3], "^Expected episode 0 as a dictionary with observations, actions, rewards"),
        ([{"observations": np.ones(3)}], "Expected episode 0 as a dictionary"),
        ([{**EPISODE, "rewards": np.ones(3)}], "arrays of equal, nonzero length in episode 0"),
        ([{name: array[:0] for name, array in EPISODE.items()}], "nonzero length"),
        ([{**EPISODE, "observations": np.float32(1)}], "numeric arrays with one row per step in episode 0"),
        (
            [{**EPISODE, "observations": [[1.0], [1.0, 2.0]]}],
            "numeric arrays with one row per step in episode 0",
        ),
        (
            [{**EPISODE, "rewards": np.array(len(EPISODE["rewards"]) * ["much"])}],
            "numeric arrays with one row per step in episode 0.*U4 is not a numeric dtype",
        ),
        ([EPISODE, {**EPISODE, "observations": np.ones((4, 3))}], "rows of equal shape in all episodes"),
    ],
)
def test_pickles_of_other_values_are_rejected(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pickled.read(_pickle(tmp_path / "data.pkl", value))


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04", pickle.dumps([EPISODE])[:-50]])
def test_corrupted_pickles_are_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        pickled.read(path)
