"""Writes the committed figures into README.md: ``make readme``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cartpole_phys.errors import InputError

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "demo"
DEMO = RESULTS / "demo.json"
OTHER_SEEDS = "seed-*.json"  # the same demo with another --seed, which decides the agent too
BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"


def demo_table(result: dict[str, Any]) -> str:
    """The demo's rows as a Markdown table, with the machine and the command that made them."""
    lines = ["| policy | target return | mean return | score | 95 % interval |", "|---|---:|---:|---:|---:|"]
    for row in result["rows"]:
        target = "" if row["target"] is None else f"{row['target']:.0f}"
        interval = f"{row['score_low']:.1f} – {row['score_high']:.1f}"
        lines.append(
            f"| {row['name']} | {target} | {row['mean_return']:.1f} | {row['score']:.1f} | {interval} |"
        )
    versions = result["versions"]
    lines += [
        "",
        f"{result['episodes']} episodes each, on the same start states; one training seed. "
        f"`{result['command']}` took {sum(result['seconds'].values()):.0f} s on {result['machine']} "
        f"({result['date']}, torch {versions['torch']}, NumPy {versions['numpy']}).",
        "",
        verdict(result["rows"]),
    ]
    return "\n".join(lines)


def other_seed(result: dict[str, Any]) -> str:
    """One sentence on a demo with another seed."""
    best, others = _best_and_others(result["rows"])
    scores = ", ".join(f"{row['name']} {row['score']:.1f}" for row in others[1:])
    return (
        f"`{result['command']}`: {scores}; Decision Transformer {best['score']:.1f} "
        f"({best['score_low']:.1f} – {best['score_high']:.1f}) at its best target, {best['target']:.0f}. "
        + verdict(result["rows"])
    )


def _best_and_others(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best Decision Transformer, and the rows that take no target, the random policy first."""
    best = max((row for row in rows if row["target"] is not None), key=lambda row: row["score"])
    return best, [row for row in rows if row["target"] is None]


def verdict(rows: list[dict[str, Any]]) -> str:
    """Which of the other policies the best Decision Transformer beats, interval against interval."""
    best, others = _best_and_others(rows)
    beaten = [row["name"] for row in others if best["score_low"] > row["score_high"]]
    rest = [row["name"] for row in others if row["name"] not in beaten]
    asked = f"Asked for {best['target']:.0f}, the best of its targets as seen afterwards"
    text = f"{asked}, the Decision Transformer beats: {'; '.join(beaten) or 'none'}."
    return text + (f" It does not clearly beat: {'; '.join(rest)}." if rest else "")


def updated(text: str, block: str) -> str:
    """The README's text with the block between its two markers replaced.

    Raises:
        InputError: if a marker is missing.
    """
    if BEGIN not in text or END not in text:
        raise InputError(f"Expected the lines {BEGIN} and {END} in README.md; put them where the table goes.")
    before, rest = text.split(BEGIN, 1)
    return before + BEGIN + "\n" + block + "\n" + END + rest.split(END, 1)[1]


def render() -> str:
    """README.md as it should be, from the committed results."""
    others = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob(OTHER_SEEDS))]
    block = demo_table(json.loads(DEMO.read_text("utf-8")))
    if others:
        block += "\n\nThe seed decides the agent, the data and the models alike; with others:\n\n"
        block += "\n".join(f"- {other_seed(result)}" for result in others)
    return updated(README.read_text("utf-8"), block)


if __name__ == "__main__":
    README.write_text(render(), "utf-8")
    print(f"Wrote the figures of {DEMO.relative_to(ROOT)} into {README.relative_to(ROOT)}.")
