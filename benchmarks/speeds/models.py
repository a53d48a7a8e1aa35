"""Decision Transformer against that of transformers: ``python -m benchmarks.speeds.models``.

Training and inference. Both models have 3 layers, 1 head, width 128 and 20 steps of context, the same data
and cores; single actions are measured on one thread.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.speeds.peers import hugging_face_peer as peer
from benchmarks.speeds.side_by_side import compare, rate, run
from cartpole_phys.episodes import Episodes
from cartpole_phys.policies.controllers import proportional
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from dt.data.source import Spaces, describe
from dt.data.windows import Normalization, Windows
from dt.models.decision import DecisionConfig, DecisionTransformer
from dt.models.recipes import recipe
from dt.training.optimizer import BFLOAT16, FLOAT32, Trainer, faster_dtype

ROWS, BATCH, CONTEXT, EPISODES, STEPS = 200_000, 64, 20, 100, 500
GAIN = 1.11  # of the data's policy, of medium score
SHAPE = {"layers": 3, "heads": 1, "width": 128}
CPU = torch.device("cpu")
RESULT = Path(__file__).parent.parent / "results" / "models.json"
HUGGING_FACE = "transformers, sdpa, fp32"


def data() -> Episodes:
    """The training data of both."""
    episodes = collect(CartPole(), proportional(GAIN, True), ROWS, 0)
    return replace(episodes, metadata={"env_id": "PhysCartPole-v0", "env_kwargs": {}})


def training(episodes: Episodes, rounds: int) -> list[dict[str, Any]]:
    """Transitions per second, sampler included, in each dtype that this CPU supports."""
    spaces, wanted = describe(episodes).spaces, recipe("decision", "paper")
    normalization = Normalization.of(episodes, spaces)
    windows = Windows(episodes, normalization, CONTEXT, CPU)
    slicing = peer.SlicingSampler(episodes, normalization, CONTEXT, spaces.max_episode_steps)
    theirs = peer.Loop(peer.model(episodes, spaces.max_episode_steps, **SHAPE), slicing, BATCH)
    rows = []
    native = faster_dtype(DecisionTransformer(DecisionConfig(), spaces), CPU) == BFLOAT16
    for dtype in (BFLOAT16, FLOAT32) if native else (FLOAT32,):
        config = replace(wanted.train, dtype=dtype)
        trainer = Trainer(DecisionTransformer(DecisionConfig(), spaces), windows, config)
        rows.append(
            compare(
                f"training, batch {BATCH}, {dtype}",
                HUGGING_FACE + ", trajectories sliced",
                lambda trainer=trainer: rate(trainer.advance, 10, BATCH * CONTEXT),  # type: ignore[misc]
                lambda: rate(theirs.advance, 10, BATCH * CONTEXT),
                rounds,
            )
        )
    generator = torch.Generator()
    rows.append(
        compare(
            f"sampling {BATCH} windows",
            "trajectories sliced in NumPy",
            lambda: rate(lambda: windows.sample(BATCH, generator), 200),
            lambda: rate(lambda: slicing.sample(BATCH), 20),
            rounds,
        )
    )
    return rows


def acting_model(spaces: Spaces, window: int | None) -> DecisionTransformer:
    """A model for inference, with sliding-window attention or with a truncated window."""
    return DecisionTransformer(DecisionConfig(CONTEXT, attention_window=window), spaces).eval()


def wait(device: torch.device) -> None:
    """Wait for all pending work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def acting_rate(model: DecisionTransformer, spaces: Spaces, episodes: int, steps: int) -> float:
    """Actions per second on random observations with a full context, as the baseline's always is."""
    device = next(model.parameters()).device
    stream = model.stream(episodes, torch.Generator(device))
    observation = torch.zeros(episodes, spaces.observation_size, device=device)
    wanted = rewards = torch.ones(episodes, device=device)
    for step in range(CONTEXT + steps):
        if step == CONTEXT:
            wait(device)
            start = time.perf_counter()
        stream.act(observation, wanted, rewards, step)
    wait(device)
    return episodes * steps / (time.perf_counter() - start)


def _their_history(spaces: Spaces) -> dict[str, torch.Tensor]:
    return {
        "states": torch.zeros(1, CONTEXT, spaces.observation_size),
        "actions": torch.zeros(1, CONTEXT, spaces.action_size),
        "returns_to_go": torch.ones(1, CONTEXT, 1),
        "timesteps": torch.arange(CONTEXT)[None],
        "attention_mask": torch.ones(1, CONTEXT),
    }


def acting(episodes: Episodes, rounds: int) -> list[dict[str, Any]]:
    """Actions per second of one episode on one thread, and of a hundred in parallel on all threads."""
    spaces, threads, rows = describe(episodes).spaces, torch.get_num_threads(), []
    theirs, history = peer.model(episodes, spaces.max_episode_steps, **SHAPE).eval(), _their_history(spaces)
    for window, how in ((CONTEXT, "key–value cache"), (None, "no cache")):
        model = acting_model(spaces, window)
        for count, on, work in (
            (1, 1, f"one action, one thread, {how}"),
            (EPISODES, threads, f"{EPISODES} actions at once, {how}"),
        ):
            torch.set_num_threads(on)
            steps = STEPS - CONTEXT if window or count == 1 else STEPS // 10
            rows.append(
                compare(
                    work,
                    HUGGING_FACE + ", one episode at a time",
                    lambda model=model, count=count, steps=steps: acting_rate(  # type: ignore[misc]
                        model, spaces, count, steps
                    ),
                    lambda: rate(lambda: peer.act(theirs, history), 200),
                    rounds,
                )
            )
    torch.set_num_threads(threads)
    return rows


def measure(rounds: int) -> list[dict[str, Any]]:
    """All comparisons."""
    episodes = data()
    return [*training(episodes, rounds), *acting(episodes, rounds)]


if __name__ == "__main__":
    run(measure, RESULT, "Decision Transformer", millions=False)
