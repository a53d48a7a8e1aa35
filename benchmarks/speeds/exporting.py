"""Export against Minari's ``create_dataset_from_buffers``: ``python -m benchmarks.speeds.exporting``.

Both write the same episodes in this process, infos included; afterwards Minari reads both.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

from benchmarks.speeds.side_by_side import compare, rate, run
from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.exports import minari as ours
from cartpole_phys.data.exports.export import export
from cartpole_phys.data.loading import load_file
from cartpole_phys.episodes import Episodes

STEPS = 200_000
THEIRS = "theirs-v0"
RESULT = Path(__file__).parent.parent / "results" / "exporting.json"


def buffers(data: Episodes) -> Iterator[EpisodeBuffer]:
    """Episodes as Minari's episode buffers."""
    for number, episode in enumerate(data):
        flags = np.zeros((2, len(episode.rewards)), np.bool_)
        flags[:, -1] = episode.terminated, episode.truncated
        yield EpisodeBuffer(
            id=number,
            observations=np.concatenate([episode.observations, episode.final_observation[None]]),
            actions=episode.actions,
            rewards=episode.rewards,
            terminations=flags[0],
            truncations=flags[1],
            infos={name: np.concatenate([rows, rows[-1:]]) for name, rows in episode.infos.items()} or None,
        )


def _timed(work: Callable[[], Any], folder: Path) -> float:
    """Rows per second of a writer that creates a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    return rate(work, each=STEPS)


def beside_minari(data: Episodes, what: str, root: Path, rounds: int) -> dict[str, Any]:
    """One comparison, after a check that both write the same number of steps."""
    identity = f"{ours.NAMESPACE}/ours-v0"
    row = compare(
        f"exporting {STEPS:,} rows in {len(data):,} episodes, {what}",
        "Minari, create_dataset_from_buffers",
        lambda: _timed(lambda: ours.write(data, root / identity, identity), root / identity),
        lambda: _timed(
            lambda: minari.create_dataset_from_buffers(THEIRS, buffers(data), env="PhysCartPole-v0"),
            root / THEIRS,
        ),
        rounds,
    )
    assert minari.load_dataset(identity).total_steps == minari.load_dataset(THEIRS).total_steps == STEPS
    return row


def measure(rounds: int) -> list[dict[str, Any]]:
    """Both comparisons."""
    warnings.simplefilter("ignore")  # Minari's, about an author
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["MINARI_DATASETS_PATH"] = name
        path = build_dataset(policy="heuristic", tier="medium", steps=STEPS, out=root)
        export(path, "minari")  # makes the namespace
        data = load_file(path)
        return [
            beside_minari(data, "infos included", root, rounds),
            beside_minari(replace(data, infos={}), "core keys", root, rounds),
        ]


if __name__ == "__main__":
    run(measure, RESULT, "Rows beside Minari's writer")
