"""Data-parallel training equals single-process training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cartpole_phys.utils.errors import InputError
from dt.data.source import describe
from dt.data.transitions import TransitionBatch
from dt.data.windows import Normalization
from dt.models.recipes import create
from dt.training import distributed
from dt.training.optimizer import Trainer
from tests.support.commands import Command
from tests.support.small_models import make_episodes, random_batch, small_recipe

SCRIPT = Path(__file__).parents[1] / "support" / "parallel_losses.py"
STEPS = 30


def _torchrun(processes: int, *command: object) -> subprocess.CompletedProcess[str]:
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={processes}",
        "--master-port=0",
    ]
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(SCRIPT.parents[2]), os.getcwd()]),
    }
    arguments = [*launcher, "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", *map(str, command)]
    return subprocess.run(arguments, capture_output=True, text=True, env=env, timeout=200, check=False)


def _losses(processes: int, out: Path, steps: int, dropout: float) -> list[list[float]]:
    """Return for each process the losses of all steps and the final norm of the weights."""
    if processes == 1:
        code, _, errors = Command("tests.support.parallel_losses", out, steps, dropout).finish()
    else:
        ran = _torchrun(processes, SCRIPT, out, steps, dropout)
        code, errors = ran.returncode, ran.stderr
    assert code == 0, errors
    losses = [json.loads(file.read_text()) for file in sorted(out.glob("losses-*.json"))]
    assert len(losses) == processes
    return losses


def test_two_processes_match_the_losses_of_one(tmp_path: Path) -> None:
    """Padding differs between windows, so a mean of per-process means would differ."""
    results = {}
    for processes in (1, 2):
        out = tmp_path / str(processes)
        out.mkdir()
        results[processes] = _losses(processes, out, STEPS, dropout=0.0)
        assert (out / "run" / "model.safetensors").is_file()
    (one,), (first, second) = results[1], results[2]
    assert len(one) == STEPS + 1
    assert first == second
    np.testing.assert_allclose(first, one, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out in (whole, parts):
        out.mkdir()
    uninterrupted = _losses(2, whole, 8, dropout=0.5)
    first, second = _losses(2, parts, 5, dropout=0.5), _losses(2, parts, 8, dropout=0.5)
    assert [*first[0][:-1], *second[0]] == uninterrupted[0]
    weights = [(out / "run" / "model.safetensors").read_bytes() for out in (whole, parts)]
    assert weights[0] == weights[1]


def test_dropout_differs_per_process_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = make_episodes()
    recipe, source = small_recipe(), describe(episodes)
    results: list[list[int]] = []
    for number in range(3):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            model = create(recipe.kind, recipe.model, source.spaces)
            windows = model.sampler(episodes, Normalization.of(episodes, source.spaces), torch.device("cpu"))
            trainer = Trainer(model, windows, recipe.train)
            results.append([(trainer.advance(), torch.initial_seed())[1] for _ in range(2)])
    assert results[0] == [7, 7]  # rank 0 continues its random stream
    assert len({seed for pair in results[1:] for seed in pair} | {7}) == 5


@pytest.mark.parametrize("kind", ["decision", "reinformer", "trajectory", "energy", "bc"])
def test_shard_losses_sum_to_the_batch_loss(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    episodes, recipe = make_episodes(), small_recipe(kind)
    source = describe(episodes)
    model = create(recipe.kind, recipe.model, source.spaces).eval()
    normalization = Normalization.of(episodes, source.spaces)
    model.prepare(episodes, normalization)
    sampler = model.sampler(episodes, normalization, torch.device("cpu"))
    ends = torch.as_tensor(episodes.offsets[1:] - 1)  # windows of about one step
    batch = sampler.at(torch.cat([torch.arange(0, 900, 100), ends]))  # type: ignore[attr-defined]
    if kind == "trajectory":
        batch.valid[-len(ends) :, 1:] = False
    with torch.no_grad():
        whole = model.loss(batch)
        monkeypatch.setattr(distributed, "world_size", lambda: 2)
        total = 0.0
        for number in range(2):
            monkeypatch.setattr(distributed, "rank", lambda number=number: number)
            own, share = distributed.local_shard(batch)
            total += share * float(model.loss(own))
    assert total == pytest.approx(float(whole), rel=1e-5)


def test_shards_partition_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = random_batch(True, windows=5, padding=2)
    batch.valid.data = torch.arange(25).reshape(5, 5) % 3 != 0
    assert distributed.local_shard(batch) == (batch, 1.0)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    shares, rows = [], []
    for number in range(2):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        own, share = distributed.local_shard(batch)
        shares.append(share)
        rows += own.observations[:, 0, 0].tolist()
        assert share == pytest.approx(own.valid.sum() / batch.valid.sum())
    assert sum(shares) == pytest.approx(1.0)
    assert sorted(rows) == sorted(batch.observations[:, 0, 0].tolist())
    with pytest.raises(InputError, match="at least 2 windows, one per process, got 1"):
        distributed.local_shard(type(batch)(*(field[:1] for field in batch)))
    with pytest.raises(InputError, match="trained on transitions; use one process"):
        distributed.local_shard(TransitionBatch(*[torch.zeros(1)] * 5))


def test_only_rank_0_saves_and_prints(medium_file: Path, tmp_path: Path) -> None:
    arguments = ("-m", "dt.train", medium_file, "--steps", 3, "--out", tmp_path / "run", "--quiet")
    ran = _torchrun(2, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("decision, 3 steps") == 1
    assert (tmp_path / "run" / "config.json").is_file()
