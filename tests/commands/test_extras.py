"""Errors about missing packages name the extra that installs them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cartpole_phys.data.exports import minari, parquet
from cartpole_phys.policies.training.recipe import training_versions
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.parallel import spread
from dt.evaluate import evaluate_command
from dt.formats import hub, hugging_face, onnx
from dt.plotting import learning_curves
from dt.training.checkpoint import Checkpoint
from dt.training.loop import train
from dt.training.optimizer import TrainConfig
from tests.support.small_models import make_episodes, small_recipe


def _model() -> Checkpoint:
    return train(make_episodes(), small_recipe(steps=1))


NEEDED: dict[str, tuple[str, Callable[[Path], object]]] = {  # module: its extra, and a call that needs it
    "ray": ("ray", lambda path: list(spread(str, [1], "auto"))),
    "minari": ("minari", lambda path: minari.datasets_folder()),
    "pyarrow": ("hf", lambda path: parquet.write(make_episodes(), path)),
    "transformers": ("hf", lambda path: hugging_face.save(_model(), path)),
    "huggingface_hub": ("hf", lambda path: hub.resolve_folder("nobody/nothing")),
    "matplotlib": ("report", lambda path: evaluate_command(path, plot=path / "plot.png")),
    "tensorboard": ("dt", lambda path: learning_curves(path, TrainConfig()).__enter__()),
    "torchrl": ("dt", lambda path: train(make_episodes(), small_recipe("iql"), path)),
    "onnxscript": ("onnx", lambda path: onnx.save(_model(), path)),
}


@pytest.mark.parametrize("module", NEEDED)
def test_errors_name_missing_modules(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra, work = NEEDED[module]
    inside = f"{module}.", f"torch.utils.{module}"  # submodules that another test may have imported
    for loaded in [name for name in sys.modules if name.startswith(inside)]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf'needs {module}\b.* pip install "cartpole-phys\[{extra}\]"'):
        work(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_errors_name_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cartpole_phys.policies.training.recipe.PACKAGES", ("no-such-package",))
    with pytest.raises(InputError, match=r'needs no-such-package, .* pip install "cartpole-phys\[sb3\]"'):
        training_versions()
