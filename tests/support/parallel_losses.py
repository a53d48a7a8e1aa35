"""Train on all processes of torchrun and write the loss of every step: FOLDER STEPS DROPOUT.

Goes on from the checkpoint in the folder, if there is one.
"""

import json
import sys
from pathlib import Path

import torch

from dt.models.decision import DecisionConfig
from dt.models.gpt import TransformerConfig
from dt.models.recipes import Recipe
from dt.training import distributed
from dt.training import loop as training
from tests.support.small_models import make_episodes, small_recipe

torch.set_num_threads(1)


def main() -> None:
    """Train and write the losses."""
    out, steps, dropout = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    config = DecisionConfig(20, TransformerConfig(layers=2, heads=2, width=32, dropout=dropout))
    recipe = Recipe("decision", config, small_recipe(steps=steps, batch_size=16).train)
    losses: list[float] = []
    training.REPORT_EVERY = 1
    with distributed.process_group():
        trained = training.train(
            make_episodes(),
            recipe,
            out / "run",
            resume=(out / "run").exists(),
            on_progress=lambda step, loss: losses.append(loss),
        )
        norm = sum(
            float(parameter.detach().double().square().sum()) for parameter in trained.model.parameters()
        )
        (out / f"losses-{distributed.rank()}.json").write_text(json.dumps([*losses, norm]))


if __name__ == "__main__":
    main()
