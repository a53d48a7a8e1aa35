"""Self-contained HTML report of a data set: charts, gates and an episode player."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from cartpole_phys.data.checks.run import FAILED, NOT_PROVEN, GateResult
from cartpole_phys.data.report.charts import heatmap, histogram_chart, score_chart
from cartpole_phys.data.report.statistics import Statistics
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.data.tiers.base import COLLECTION
from cartpole_phys.episodes import Episodes
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import is_number, printable

MAX_PLAYER_ROWS = 100_000  # limits the size of the page
HIGHEST_SCORE = 110.0  # upper end of the expert band in the chart
LARGEST = 32_767  # 16-bit integer
PROVENANCE_KEYS = ("env_id", "algorithm", "tier", "command", "git_commit", "dataset_name", "schema_version")


def page(
    name: str,
    data: Episodes,
    statistics: Statistics,
    score: float | None,
    gates: Sequence[GateResult],
    system: CartPole | None,
) -> str:
    """Render the report as HTML; text from the file is escaped."""
    metadata = data.metadata
    charts = [
        histogram_chart(statistics.returns, "episodes"),
        histogram_chart(statistics.lengths, "episodes"),
    ]
    charts += [histogram_chart(actions, "transitions") for actions in statistics.actions]
    charts += [heatmap(coverage) for coverage in statistics.coverage]
    charts += _score_chart(metadata)
    mean = "unknown" if statistics.mean_return is None else f"{statistics.mean_return:.1f}"
    body = [
        f"<h1>{_text(name)}</h1>",
        f"<p>{statistics.steps:,} transitions in {statistics.episodes:,} episodes; mean return {mean}, "
        f"normalized score {'unknown' if score is None else f'{score:.1f}'}.</p>",
        *(_no_player(metadata) if system is None else _player(data, system)),
        f'<h2>Statistics</h2><div class="charts">{"".join(charts)}</div>',
        f"<h2>Gates</h2>{_table([(gate.gate, _gate_cell(gate)) for gate in gates])}",
        f"<h2>Provenance</h2>{_table(_provenance(metadata))}",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(name)}</title><style>{_asset('page.css')}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _text(text: str) -> str:
    """Escaped text from a file."""
    return escape(printable(text))


def _asset(name: str) -> str:
    """Content of an asset file in this folder."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """HTML table of names, which are escaped, and cells, which are HTML."""
    lines = [f'<tr><th scope="row">{_text(name)}</th><td>{cell}</td></tr>' for name, cell in rows]
    return f"<table>{''.join(lines)}</table>"


def _gate_cell(gate: GateResult) -> str:
    text = _text(f"{gate.mark} {gate.status}: {gate.detail}")
    return f'<span class="failed">{text}</span>' if gate.status in (FAILED, NOT_PROVEN) else text


def _provenance(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Provenance from the file's metadata, without long entries."""
    rows = [(key, f"<code>{_text(str(metadata[key]))}</code>") for key in PROVENANCE_KEYS if key in metadata]
    versions = metadata.get("versions")
    if isinstance(versions, Mapping):
        text = ", ".join(f"{package} {version}" for package, version in versions.items())
        rows.append(("versions", _text(text)))
    return rows


def _score_chart(metadata: Mapping[str, Any]) -> list[str]:
    """Chart of the scores of the behavior policies over the bands of the tiers."""
    parts, scores = metadata.get("parts"), metadata.get("scores")
    if not isinstance(parts, list) or not isinstance(scores, list):
        return []
    rows = [
        (printable(str(part.get("tier"))), score["score"], score["score_low"], score["score_high"])
        for part, score in zip(parts, scores, strict=False)
        if isinstance(part, Mapping) and isinstance(score, Mapping) and _is_interval(score)
    ]
    bands = [
        (name, tier.band[0], min(tier.band[1], HIGHEST_SCORE))
        for name, tier in TIERS.items()
        if tier.band is not None and tier.source == COLLECTION
    ]
    return [score_chart(rows, bands)] if rows else []


def _is_interval(scores: Mapping[str, Any]) -> bool:
    """Whether a score and the ends of its confidence interval are finite."""
    values: list[Any] = [scores.get(name) for name in ("score", "score_low", "score_high")]
    return all(is_number(value) and abs(value) <= sys.float_info.max for value in values)


def _no_player(metadata: Mapping[str, Any]) -> list[str]:
    """Section that explains why the page has no player."""
    env_id, supported = metadata.get("env_id", "an unknown environment"), ", ".join(CartPole.known_ids())
    return [
        "<h2>Episode player</h2>",
        f"<p>Not available: the player needs the states, actions and pushes of every step of {supported}. "
        f"This data set, of {_text(str(env_id))}, does not contain all of them.</p>",
    ]


def _player(data: Episodes, system: CartPole) -> list[str]:
    """Section with the canvas, the controls and the embedded episodes of the player."""
    shown = _selected_episodes(data)
    options = "".join(
        f'<option value="{number}">episode {index}: return {data.returns[index]:.4g}</option>'
        for number, index in enumerate(shown)
    )
    embedded = json.dumps(_embedded(data, shown, system)).replace("<", "\\u003c")
    return [
        "<h2>Episode player</h2>",
        '<div class="player">',
        '<canvas id="stage" width="900" height="360" role="img" aria-label="The cart and its pole"></canvas>',
        '<div class="controls"><button id="play" type="button">Play</button>',
        '<input id="step" type="range" min="0" value="0" aria-label="Step">',
        f'<select id="episode" aria-label="Episode">{options}</select></div>',
        '<output id="status"></output>',
        '<div><span class="key force">force</span> <span class="key push">random push</span></div></div>',
        f'<script type="application/json" id="episodes">{embedded}</script>',
        f"<script>{_asset('player.js')}</script>",
    ]


def _selected_episodes(data: Episodes) -> list[int]:
    """Eligible episodes from the lowest to the highest return, at most ``MAX_PLAYER_ROWS`` steps of them."""
    eligible = np.flatnonzero(data.eligible)
    ranked = eligible[np.argsort(data.returns[eligible], kind="stable")]
    count = len(ranked)
    while count > 1 and data.lengths[ranked[_evenly_spaced(len(ranked), count)]].sum() > MAX_PLAYER_ROWS:
        count //= 2
    return [int(index) for index in ranked[_evenly_spaced(len(ranked), count)]]


def _evenly_spaced(size: int, count: int) -> Any:
    """``count`` indices from the first to the last of ``size``."""
    return np.linspace(0, size - 1, count).round().astype(np.int64)


def _embedded(data: Episodes, shown: Sequence[int], system: CartPole) -> dict[str, Any]:
    """X (m), θ (rad), force and push (N) of the shown episodes, each scaled to 16 bits."""
    rows = np.concatenate([np.arange(data.offsets[index], data.offsets[index + 1]) for index in shown])
    actions = data.actions[rows].reshape(len(rows), -1)[:, 0].astype(np.float64)  # (n,) or (n, 1) -> (n,)
    force = actions * system.params.force_mag
    if not system.continuous:
        force = (2.0 * actions - 1.0) * system.params.force_mag
    qpos, push = data.infos["qpos"][rows], data.infos["push"][rows]
    values = np.nan_to_num(np.stack([qpos[:, 0], qpos[:, 1], force, push], axis=1))  # (n,) × 4 -> (n, 4)
    scales = np.maximum(np.abs(values).max(axis=0), 1e-9)  # (4,)
    shares = np.round(values / scales * LARGEST).astype("<i2")
    lengths = data.lengths[list(shown)]
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return {
        "rows": base64.b64encode(shares.tobytes()).decode(),
        "scales": scales.tolist(),
        "episodes": [
            {"first": int(first), "steps": int(steps)} for first, steps in zip(firsts, lengths, strict=True)
        ],
        "limit": system.task.x_threshold,
        "length": 2.0 * system.params.half_length,
        "timeStep": system.params.time_step,
    }
