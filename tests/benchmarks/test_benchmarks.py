"""Benchmark baselines: equal work, and skipped baselines with their reasons."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.machine import read
from benchmarks.speeds import building, environment, rollout, side_by_side, storage, tables
from benchmarks.speeds.side_by_side import (
    Child,
    PeerUnavailableError,
    append,
    compare,
    left_out,
    table,
    write,
)
from cartpole_phys.batch import Columns
from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.control_laws import PROPORTIONAL
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.rollouts.collect import run_compiled
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

Policy = tuple[float, float, float]  # K, D and the noise amplitude

KEY = key_from_seed(7)
needs_compiler = pytest.mark.skipif(shutil.which(rollout.COMPILER) is None, reason="no C compiler")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rollout.build(tmp_path_factory.mktemp("program"))


def _play_in_c(program: Path, episodes: int, threads: int, policy: Policy) -> tuple[int, int]:
    """Run the C program; return the steps and terminations of its episodes."""
    command = [str(value) for value in (program, episodes, threads, KEY, *policy, 1)]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(answer["seconds"]) == 1
    return answer["rows"], answer["fallen"]


def _play_compiled(episodes: int, policy: Policy) -> tuple[int, int]:
    """Run the package's kernel; return the steps and terminations of its episodes."""
    proportional, derivative, noise = policy
    law = CompiledPolicy(PROPORTIONAL, (0.0, 0.0, proportional, derivative), noise=noise)
    played = run_compiled(CartPole(), law, KEY, 0, episodes)
    return played.steps, int(played.terminations.sum())


@needs_compiler
@pytest.mark.parametrize(
    "policy",
    [(1.11, 0.0, 0.0), (0.5, 0.2, 0.3)],  # the first fails by position, the second by angle
)
def test_c_program_plays_equal_episodes(program: Path, policy: Policy) -> None:
    steps, fallen = _play_in_c(program, 50, 2, policy)
    assert fallen > 0
    assert (steps, fallen) == _play_compiled(50, policy)
    assert (steps, fallen) == _play_in_c(program, 50, 3, policy)


@needs_compiler
def test_kernel_and_c_take_equal_numbers_of_steps(program: Path) -> None:
    with Child([str(program), *rollout.arguments(600, 2, KEY)]) as child:
        assert child.ask()["rows"] == child.ask()["rows"] == rollout.ours(600, KEY, 2)


def test_unequal_work_is_an_error() -> None:
    rollout.check_equal_work(100_000, 100_001)
    with pytest.raises(SystemExit, match="should be the same"):
        rollout.check_equal_work(100_000, 101_000)


def test_missing_compiler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "COMPILER", "no-such-compiler")
    rows = rollout.measure(rounds=1)
    assert rows
    assert all("no-such-compiler is not on the path" in row["left_out"] for row in rows)


@needs_compiler
def test_compile_errors_are_reported(tmp_path: Path) -> None:
    with pytest.raises(PeerUnavailableError, match=r"cc failed: .*no-such-option"):
        rollout.build(tmp_path, ("--no-such-option",))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/nowhere/python"], "^python cannot be started: No such file"),
        ([sys.executable, "-c", "import no_such_module"], "No module named 'no_such_module'"),
        ([sys.executable, "-c", ""], "ended without output"),
    ],
)
def test_failed_child_processes_report_the_reason(command: list[str], reason: str) -> None:
    with pytest.raises(PeerUnavailableError, match=reason), Child(command) as child:
        child.ask()


def test_measurements_alternate_between_sides() -> None:
    turns: list[str] = []

    def side(name: str, speed: float) -> float:
        turns.append(name)
        return speed

    row = compare("work", "peer", lambda: side("ours", 6.0), lambda: side("peer", 2.0), rounds=2)
    assert turns == ["ours", "peer"] * 3
    assert (row["ratio"], row["ours_per_second"], row["peer_per_second"]) == (3.0, 6.0, 2.0)


def test_skipped_rows_are_listed_separately(tmp_path: Path) -> None:
    measured = compare("work", "peer", lambda: 1.0, lambda: 1.0, rounds=1)
    missing = left_out("work", "other", "it is not there")
    write(tmp_path / "result.json", [measured, missing])
    result = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert (result["rows"], result["left_out"]) == ([measured], [missing])
    drawn = table("title", [measured, missing])
    assert drawn.row_count == 1
    assert drawn.caption == "Left out: work (other): it is not there"


@pytest.mark.parametrize("result", [environment.RESULT, rollout.RESULT], ids=lambda path: path.stem)
def test_speeds_are_of_three_runs_on_two_days(result: Path) -> None:
    runs = read(result)["runs"]
    assert len(runs) >= 3
    assert len({run["date"] for run in runs}) >= 2


def _machine(date: str) -> dict[str, Any]:
    return {"machine": "M", "date": date}


def test_all_runs_are_kept_and_included_in_the_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Including rows that only one run contains."""
    for module in (environment, rollout):
        monkeypatch.setattr(module, "RESULT", tmp_path / module.RESULT.name)
    append(rollout.RESULT, [])
    for date, ratio in (("2026-01-01", 9.0), ("2026-01-02", 5.0), ("2026-01-03", 7.0)):
        before = environment.RESULT.read_text("utf-8") if environment.RESULT.exists() else None
        monkeypatch.setattr(side_by_side, "describe", partial(_machine, date))
        rows = [compare("work", "peer", partial(float, 1e6 * ratio), lambda: 1e6, rounds=1)]
        new = compare("new work", "peer", lambda: 1.0, lambda: 1.0, rounds=1)
        append(environment.RESULT, [*rows, left_out("new work", "peer", "none") if ratio != 5.0 else new])
        runs = read(environment.RESULT)["runs"]
        assert before is None or runs[:-1] == json.loads(before)["runs"]
    assert [run["date"] for run in runs] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    drawn = tables.steps_table()
    assert "| work | peer | 5 – 9 | 5 – 9 | 5 – 9 |\n| new work | peer | 1e-06 | 1 | 1 |\n" in drawn
    assert (
        "lowest and highest of 3 runs of `make bench` (M, 2026-01-01; M, 2026-01-02; M, 2026-01-03)" in drawn
    )


def test_bytes_per_step_count_its_rows_and_outputs() -> None:
    """A step inside an episode writes only rows that are counted."""
    columns = Columns(CartPole(continuous=False), 1)
    columns.begin()
    before = columns.memory.copy()
    actions = np.ones(1, np.int64)
    columns.set_actions(actions)
    stepped = columns.step()
    changed = {*np.flatnonzero((columns.memory != before)[:, 0]).tolist()}
    read = {m.X, m.X_DOT, m.THETA, m.THETA_DOT, m.ACTION, m.PUSH, m.ELAPSED, m.DONE}
    written = read - {m.PUSH}
    assert changed == written - {m.DONE}  # written with an unchanged value
    arrays = sum(array.nbytes for array in (actions, *stepped[:4]))
    assert arrays + 8 * (len(read) + len(written)) == environment.MOVED_BYTES


def test_minari_collects_and_saves() -> None:
    with Child([sys.executable, "-W", "ignore", "-m", "benchmarks.speeds.peers.minari_peer", "1.1"]) as child:
        answer = child.ask()
    assert answer["rows_per_second"] > 0
    assert answer["version"]


def test_build_reports_its_time_and_memory(tmp_path: Path) -> None:
    """Measured from a small process, since a child inherits its parent's peak memory."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.speeds.building import build; "
        "print(*build(Path(sys.argv[1]), ['--policy', 'random', '--steps', '1000']), sep='\\n')"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    seconds, peak_megabytes, file = said.stdout.splitlines()
    assert Path(file).exists()
    assert float(seconds) > 0
    assert 50 < float(peak_megabytes) < 1_000


def test_failed_build_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Unknown policy 'nobody'"):
        building.build(tmp_path, ["--policy", "nobody"])


def test_differing_arrays_are_reported() -> None:
    rows = np.arange(3)
    storage.check_equal({"rewards": rows}, {"rewards": rows.copy()})
    for other in ({"rewards": rows + 1}, {}):
        with pytest.raises(SystemExit, match="rewards"):
            storage.check_equal({"rewards": rows}, other)


def test_gpu_benchmark_runs_on_any_device_and_reports_a_missing_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    from benchmarks.speeds import gpu
    from tests.support.small_models import make_episodes

    episodes, processor = make_episodes(), torch.device("cpu")
    row = gpu.training(episodes, processor, rounds=1, updates=1)
    assert min(row["ours_per_second"], row["peer_per_second"]) > 0.0
    assert gpu.acting(episodes, processor, count=3, steps=2) > 0.0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmarks.speeds.gpu"])
    with pytest.raises(InputError, match="Expected a GPU that PyTorch can use, got none"):
        gpu.main()
