"""The commands of dt: train, evaluate, exchange and their errors."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from cartpole_phys import build_dataset, check
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.score import return_of_score
from cartpole_phys.policies.resolve import named_policy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from dt.exchange import export_command
from dt.policy import CheckpointPolicy, load
from dt.training import checkpoint as checkpoints
from dt.training.loop import train
from tests.support.commands import Command
from tests.support.small_models import make_episodes, small_recipe

BAD_INPUT, INTERRUPTED = 2, 130


def run(module: str, *arguments: object) -> tuple[int, str, str]:
    return Command(f"dt.{module}", *arguments).finish()


def test_train_then_evaluate(medium_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, output, errors = run("train", medium_file, "--steps", 20, "--seed", 3, "--out", out)
    assert code == 0, errors
    assert output.startswith(f"{out}\n  decision, 20 steps, float32, seed 3")
    assert "steps/s" in errors
    assert checkpoints.load(out).source.env_id == "PhysCartPole-v0"
    code, output, errors = run("train", medium_file, "--out", out)
    assert (code, output, errors.count("\n")) == (BAD_INPUT, "", 1)
    assert errors.startswith(f"error: '{out}' exists; pass --resume")
    arguments = (out, "--target", 100, "--target", 500, "--episodes", 3, "--seed", 1)
    code, output, errors = run("evaluate", *arguments, "--json")
    assert (code, errors) == (0, "")
    report = json.loads(output)
    assert [result["target"] for result in report["results"]] == [100.0, 500.0]
    code, output, errors = run("evaluate", *arguments, "--quiet")
    assert (code, errors) == (0, "")
    assert "95 % interval" in output
    assert f"{report['results'][0]['score']:.1f}" in output


def test_learning_curves_and_plots_are_written(medium_file: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, curves, plot = tmp_path / "run", tmp_path / "curves", tmp_path / "sweep.png"
    arguments = (medium_file, "--out", out, "--tensorboard", curves, "--quiet")
    assert run("train", *arguments, "--steps", 20)[0] == 0
    assert run("train", *arguments, "--steps", 40, "--resume")[0] == 0
    events = EventAccumulator(str(curves))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20, 30, 40]
    assert all(event.value > 0.0 for event in events.Scalars("learning rate"))
    targets = ("--target", 100, "--target", 300, "--episodes", 3)
    assert run("evaluate", out, *targets, "--plot", plot)[0] == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert run("train", medium_file, "--model", "bc", "--steps", 1, "--out", tmp_path / "bc")[0] == 0
    code, _, errors = run("evaluate", tmp_path / "bc", "--episodes", 2, "--plot", plot, "--quiet")
    assert (code, errors) == (
        BAD_INPUT,
        "error: Expected a return-conditioned model, got 'bc'; leave out --plot.\n",
    )


def test_build_accepts_a_checkpoint_as_policy(medium_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", medium_file, "--size", "sliding", "--steps", 2, "--out", out)[0] == 0
    policy = f"dt.policy:load({str(out)!r}, score=50)"
    path = build_dataset(policy=policy, steps=300, out=tmp_path)
    assert all(result.status != "failed" for result in check(path))
    episodes = load_file(path)
    assert episodes.metadata["recipe"]["policy"] == policy
    target = return_of_score("PhysCartPole-v0", 50.0)
    played = make_backend("PhysCartPole-v0").play(load(out, target), 3, seed=0)
    assert len(played) == 3
    loaded = named_policy(policy, CartPole())
    assert isinstance(loaded, CheckpointPolicy)
    assert loaded.target == target
    code, output, errors = run("evaluate", out, "--target-score", 50, "--episodes", 3, "--json")
    assert (code, errors) == (0, "")
    assert json.loads(output)["results"][0]["target"] == target
    with pytest.raises(InputError, match="a target or a score, got both"):
        load(out, 1.0, 1.0)


@pytest.mark.slow
def test_export_to_onnx(medium_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", medium_file, "--steps", 2, "--out", out)[0] == 0
    _exported(out, "onnx", f"{out}.onnx")


def _exported(checkpoint: Path, to: str, path: str) -> None:
    """Export with the command, and check that a second export is rejected."""
    code, output, errors = run("exchange", "export", checkpoint, "--to", to)
    assert (code, output.strip().splitlines()[-1]) == (0, path), errors
    code, output, errors = run("exchange", "export", checkpoint, "--to", to)
    assert (code, errors) == (BAD_INPUT, f"error: '{path}' exists; remove it, or choose another --out.\n")


def test_export_and_import_round_trip(medium_file: Path, tmp_path: Path) -> None:
    out, imported = tmp_path / "run", tmp_path / "imported"
    assert run("train", medium_file, "--steps", 2, "--out", out)[0] == 0
    _exported(out, "hugging-face", f"{out}-hf")
    code, _, errors = run("exchange", "import", f"{out}-hf", "--out", imported)
    assert code == 0, errors
    first, second = (
        run("evaluate", each, "--target", 300, "--episodes", 2, "--json") for each in (out, imported)
    )
    assert json.loads(first[1])["results"] == json.loads(second[1])["results"]
    code, _, errors = run("exchange", "import", tmp_path / "nothing", "--out", tmp_path / "new")
    assert (code, errors.count("\n")) == (BAD_INPUT, 1)
    assert errors.startswith("error: Expected a transformers folder")
    code, _, errors = run("exchange", "export", out, "--to", "pickle")
    assert (code, errors) == (BAD_INPUT, "error: Unknown format 'pickle'; choose from hugging-face, onnx.\n")


@pytest.mark.filterwarnings("ignore")  # warnings of transformers
def test_exporting_the_working_directory_writes_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(make_episodes(), small_recipe(steps=1), tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    export_command(Path(), "hugging-face", None)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run", "run-hf"]


def test_train_and_evaluate_in_a_gymnasium_environment(tmp_path: Path) -> None:
    path = build_dataset("Pendulum-v1", policy="random", steps=400, score_episodes=100, out=tmp_path)
    assert run("train", path, "--steps", 2, "--out", tmp_path / "run")[0] == 0
    code, output, errors = run("evaluate", tmp_path / "run", "--target", -200, "--episodes", 2, "--json")
    assert (code, errors) == (0, "")
    result = json.loads(output)["results"][0]
    assert -2_000 < result["mean_return"] < 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "missing.hdf5"), "error: There is no file 'missing.hdf5'"),
        (("train", "missing.hdf5", "--model", "gpt"), "error: Unknown model 'gpt'; choose from decision"),
        (("train", "missing.hdf5", "--steps", "many"), "Invalid value for '--steps'"),
        (("train",), "Missing argument"),
        (("evaluate", "missing", "--plot", "x.hdf5"), "error: Expected --plot with a name that ends in .png"),
        (("attention.__main__", "missing", "--plot", "x.pdf"), "error: Expected --plot with a name that"),
        (("evaluate", "missing"), "error: Expected a checkpoint in 'missing'"),
        (("evaluate", "tests"), "error: Expected a checkpoint with model.safetensors"),
    ],
)
def test_bad_input_ends_with_one_line(arguments: tuple[str, ...], message: str) -> None:
    code, output, errors = run(*arguments)
    assert (code, output) == (BAD_INPUT, "")
    assert message in errors
    assert "Traceback" not in errors
    if message.startswith("error"):
        assert errors.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX systems")
def test_ctrl_c_saves_a_resumable_checkpoint(medium_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    training = Command(
        "dt.train", medium_file, "--steps", 1_000_000, "--save-every", 5, "--out", out, "--quiet"
    )
    deadline = time.monotonic() + 60
    while not out.exists() and time.monotonic() < deadline and training.runs:
        time.sleep(0.05)
    training.send_signal(signal.SIGINT)
    code, output, errors = training.finish()
    assert (code, errors) == (INTERRUPTED, "")
    assert "of 1,000,000; add --resume to continue" in output
    assert checkpoints.load(out).step > 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
