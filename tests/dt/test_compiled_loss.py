"""Compiled losses: equal training losses and one-line compile errors."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cartpole_phys.utils.errors import InputError
from dt.models.decision import DecisionConfig
from dt.models.recipes import Recipe
from dt.training import loop as training
from dt.training.loop import train
from tests.support.small_models import make_episodes, small_recipe

compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


def _losses(recipe: Recipe, compiled: bool | None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr(training, "REPORT_EVERY", 1)
    losses: list[float] = []
    train(make_episodes(), recipe, compiled=compiled, on_progress=lambda step, loss: losses.append(loss))
    return losses


@compiler
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of PyTorch's compiler itself
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bc", "decision"])
def test_compiled_losses_equal_eager_losses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _without_dropout(small_recipe(kind, steps=10))
    eager, compiled = (_losses(recipe, flag, monkeypatch) for flag in (False, True))
    np.testing.assert_allclose(compiled, eager, rtol=1e-4)


def _without_dropout(recipe: Recipe) -> Recipe:
    """Disable dropout: compiled code draws random numbers in a different order."""
    if recipe.kind != "decision":
        return recipe
    assert isinstance(recipe.model, DecisionConfig)
    shape = replace(recipe.model.transformer, dropout=0.0)
    return replace(recipe, model=replace(recipe.model, transformer=shape))


def test_compilation_on_a_cpu_is_opt_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    assert len(_losses(small_recipe(steps=2), None, monkeypatch)) == 2


def test_compile_errors_include_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected a compilable model, got iql; leave out --compile"):
        train(make_episodes(), small_recipe("iql"), tmp_path / "run", compiled=True)

    def broken(*_: object, **__: object) -> object:
        def fail(batch: object) -> None:
            raise RuntimeError("no\ncompiler\n\nand a long traceback")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(InputError, match=r"got an error \(no compiler\); use --no-compile"):
        train(make_episodes(), small_recipe(), tmp_path / "run", compiled=True)
    assert not (tmp_path / "run").exists()
