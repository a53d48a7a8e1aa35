"""Training and inference on a GPU: ``python -m benchmarks.speeds.gpu``.

The models are those of ``benchmarks.speeds.models``. Training is compiled and uses the faster dtype;
transformers' training loop is the usual one, with its sampler on the CPU.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.speeds.models import (
    BATCH,
    CONTEXT,
    HUGGING_FACE,
    SHAPE,
    acting_model,
    acting_rate,
    data,
    wait,
)
from benchmarks.speeds.peers import hugging_face_peer as peer
from benchmarks.speeds.side_by_side import ROUNDS, RoundsOption, compare, rate, table, write
from cartpole_phys import commands
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from dt.data.source import describe
from dt.data.windows import Normalization, Windows
from dt.models.decision import DecisionConfig, DecisionTransformer
from dt.models.recipes import recipe
from dt.training.optimizer import Trainer, faster_dtype

RESULT = Path(__file__).parent.parent / "results" / "gpu.json"
EPISODES, STEPS, UPDATES = 4_096, 500 - CONTEXT, 100


def training(episodes: Episodes, device: torch.device, rounds: int, updates: int = UPDATES) -> dict[str, Any]:
    """Transitions per second of both, samplers included."""
    spaces = describe(episodes).spaces
    normalization = Normalization.of(episodes, spaces)
    model = DecisionTransformer(DecisionConfig(), spaces).to(device)
    config = replace(recipe("decision", "paper").train, dtype=faster_dtype(model, device))
    windows = Windows(episodes, normalization, CONTEXT, device)
    ours = Trainer(model, windows, config, compiled=device.type == "cuda")
    slicing = peer.SlicingSampler(episodes, normalization, CONTEXT, spaces.max_episode_steps)
    theirs = peer.Loop(peer.model(episodes, spaces.max_episode_steps, **SHAPE), slicing, BATCH, device)

    def timed(loop: Trainer | peer.Loop) -> float:
        def advance() -> None:
            for _ in range(updates):
                loop.advance()
            wait(device)

        return rate(advance, 1, updates * BATCH * CONTEXT)

    return compare(
        f"training, batch {BATCH}, {config.dtype}",
        HUGGING_FACE + ", trajectories sliced",
        lambda: timed(ours),
        lambda: timed(theirs),
        rounds,
    )


def acting(episodes: Episodes, device: torch.device, count: int = EPISODES, steps: int = STEPS) -> float:
    """Actions a second of so many episodes at once, key–value cache."""
    spaces = describe(episodes).spaces
    model = acting_model(spaces, CONTEXT).to(device)
    acting_rate(model, spaces, count, steps)  # compiles kernels
    return acting_rate(model, spaces, count, steps)


def main(rounds: RoundsOption = ROUNDS) -> None:
    """Measure, print and write the result; an input error where there is no GPU."""
    if not torch.cuda.is_available():
        raise InputError("Expected a GPU that PyTorch can use, got none; the other benchmarks need no GPU.")
    device, episodes = torch.device("cuda"), data()
    row, actions = training(episodes, device, rounds), acting(episodes, device)
    card = torch.cuda.get_device_name(device)
    write(RESULT, [row], card=card, actions_per_second=actions, episodes_at_once=EPISODES)
    Console().print(table(f"Decision Transformer on {card}", [row]))
    Console().print(f"{EPISODES:,} episodes at once: {actions:,.0f} actions a second")


if __name__ == "__main__":
    commands.run_single(main)
