"""Attention analysis of three claims about sequence models: ``python -m benchmarks.attention``.

Each model is trained on the same data with several training seeds, then evaluated. Existing results are kept.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.machine import describe
from benchmarks.studies.cell import ELIGIBLE, read_of, require_same_eligible, write
from benchmarks.studies.question import BALANCE, QUESTION
from benchmarks.studies.running import DATA, DataOption, console, ready
from benchmarks.studies.tables import interval, made, marked, table
from cartpole_phys import commands
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.score import mean_interval
from cartpole_phys.episodes import Episodes
from dt.attention.figures import save_maps
from dt.attention.maps import AttentionMaps, attention_maps, rollout_windows, untrained
from dt.attention.measures import RECENT, RETURN, SPREAD, per_episode, uniform_attention
from dt.models.recipes import Recipe, recipe
from dt.training.loop import train

DATASET = QUESTION.tier(BALANCE, "medium")
RESULTS = Path(__file__).parent / "results" / "attention"
KINDS, SEEDS, EPISODES = ("decision", "reinformer", "trajectory", "energy"), 3, 50
NAMES = {
    "decision": "Decision Transformer",
    "reinformer": "Reinformer",
    "trajectory": "Trajectory Transformer",
    "energy": "energy model",
}
HALF = 0.5


class Claim(NamedTuple):
    """A claim about the attention of a model."""

    words: str
    kind: str
    measure: str


CLAIMS = (
    Claim("Decision Transformers attend to return tokens", "decision", RETURN),
    Claim("Trajectory Transformers attend to the recent past", "trajectory", RECENT),
    Claim("energy models attend to all tokens", "energy", SPREAD),
)


def claims_table() -> str:
    """Table of the claims, each with its measure and whether it holds."""
    rows = []
    for words, kind, measure in CLAIMS:
        trained, begun, even = _measured(kind, measure)
        told, low = interval(trained, 2), trained[1]
        holds = low > (HALF if measure == SPREAD else max(begun, even))
        rows.append([words, measure, told, f"{begun:.2f}", f"{even:.2f}", "yes" if holds else "no"])
    heading = marked("trained", any(map(_old, KINDS)))
    return table(["claim", "attention to", heading, "untrained", "uniform", "holds"], rows)


def measures_table() -> str:
    """Table of the same measures for all models."""
    names = dict.fromkeys(name for kind in KINDS for name in _results(kind)[0]["trained"])
    kinds = [name for name in names if not name.endswith("away") and name not in (RECENT, SPREAD)]
    rows = [[name, *(_told(kind, name) for kind in KINDS)] for name in (*kinds, RECENT, SPREAD)]
    machines, dates = made([result for kind in KINDS for result in _results(kind)])
    note = (
        f"Attention share of the trained model / the untrained model: means over layers, heads, "
        f"{SEEDS} seeds and {EPISODES} episodes per seed, with 95 % intervals over episodes. Spread is the "
        f"share of the tokens among which attention is divided. `python -m benchmarks.attention`: "
        f"{machines}, {dates}."
    )
    models = [marked(NAMES[kind], _old(kind)) for kind in KINDS]
    return "\n".join([table(["attention to", *models], rows), "", note])


def _told(kind: str, measure: str) -> str:
    if measure not in _results(kind)[0]["trained"]:
        return ""
    trained, begun, _ = _measured(kind, measure)
    return f"{interval(trained, 2)} / {begun:.2f}"


def _measured(kind: str, measure: str) -> tuple[tuple[float, float, float], float, float]:
    """A measure over all seeds: trained (95 % interval over episodes), untrained, and uniform attention."""
    results = _results(kind)
    trained, begun = (
        np.concatenate([one[state][measure] for one in results]) for state in ("trained", "untrained")
    )
    return mean_interval(trained), float(begun.mean()), results[0]["uniform"][measure]


def _results(kind: str) -> list[dict[str, Any]]:
    """Results of a model, one for each training seed.

    Raises:
        InputError: if they come from other recipes, or from models trained on different episodes.
    """
    results = [read_of(_path(kind, seed), _recipe(kind, seed)) for seed in range(SEEDS)]
    require_same_eligible({f"{kind}, seed {seed}": result for seed, result in enumerate(results)})
    return results


def _old(kind: str) -> bool:
    """Whether results predate the record of eligible episodes."""
    return any(ELIGIBLE not in result for result in _results(kind))


def _recipe(kind: str, seed: int) -> Recipe:
    return recipe(kind, "tiny", seed=seed)


def _path(kind: str, seed: int) -> Path:
    return RESULTS / f"{kind}-seed{seed}.json"


def measure_model(kind: str, seed: int, data: Episodes) -> dict[str, Any]:
    """Train a model, roll it out, and measure its attention."""
    checkpoint = train(data, _recipe(kind, seed))
    windows = rollout_windows(checkpoint, EPISODES, seed)
    maps, begun = attention_maps(checkpoint.model, windows), attention_maps(untrained(checkpoint), windows)
    shown = {
        "weights": maps.weights.mean(dim=0).numpy().round(5).tolist(),  # (L, H, Q, T)
        "allowed": maps.allowed.tolist(),
        "kinds": maps.kinds,
    }
    measured = {
        "trained": {name: values.round(5).tolist() for name, values in per_episode(maps).items()},
        "untrained": {name: values.round(5).tolist() for name, values in per_episode(begun).items()},
        "uniform": uniform_attention(maps),
    }
    source = checkpoint.source
    made_with = {"recipe": asdict(checkpoint.recipe), "data_sha256": source.sha256}
    made_with[ELIGIBLE] = asdict(source.eligible)
    return {"kind": kind, "seed": seed, **made_with, **measured, "map": shown, **describe("torch")}


def draw(kind: str) -> None:
    """Draw the attention maps of the first seed's model."""
    shown = _results(kind)[0]["map"]
    steps = torch.zeros(0)  # not drawn
    weights, allowed = torch.tensor(shown["weights"])[None], torch.tensor(shown["allowed"])
    maps = AttentionMaps(weights, allowed, tuple(shown["kinds"]), steps, steps)
    save_maps(maps, f"{NAMES[kind]} on {DATASET.name}", RESULTS / f"{kind}.png")


def attention(data: DataOption = DATA) -> None:
    """Train the models and measure their attention; existing results are kept."""
    episodes = load_file(ready(DATASET, QUESTION.results, data))
    RESULTS.mkdir(parents=True, exist_ok=True)
    for seed in range(SEEDS):
        for kind in KINDS:
            path = _path(kind, seed)
            if path.exists():
                read_of(path, _recipe(kind, seed))
                continue
            console.print(f"Training {kind}, seed {seed}")
            write(measure_model(kind, seed, episodes), path)
    for kind in KINDS:
        draw(kind)


if __name__ == "__main__":
    commands.run_single(attention)
