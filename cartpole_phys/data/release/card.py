"""Data set cards: contents, provenance, scores and limitations, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cartpole_phys.data.tiers import TIERS
from cartpole_phys.data.tiers.base import Tier
from cartpole_phys.policies.behavior import PolicyKind, kind_of

LICENSE, LICENSE_URL = "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"


def card(name: str, metadata: Mapping[str, Any], size: int, sha256: str) -> str:
    """Data set card as Markdown with Hugging Face's front matter, from the metadata of the file.

    Args:
        name: of the data set.
        metadata: of the file.
        size: of the file in bytes.
        sha256: of the file.
    """
    summary, env_id = metadata["summary"], metadata["env_id"]
    tier, kind = TIERS[metadata["tier"]], kind_of(metadata["algorithm"])
    versions = ", ".join(f"{package} {version}" for package, version in metadata["versions"].items())
    lines = [
        "---",
        "license: cc-by-4.0",
        f"pretty_name: {name}",
        "tags: [offline-rl, d4rl, cartpole, reinforcement-learning]",
        "---",
        f"# {name}",
        "",
        f"{summary['transitions']:,} transitions in {summary['episodes']:,} episodes of `{env_id}`: "
        f"{tier.card(kind.card, kind.name)}.",
        "",
        "| | |",
        "|---|---|",
        f"| command | `{metadata['command']}` |",
        f"| score | {_scores(metadata)} |",
        f"| episodes | {summary['episodes']:,}, of which {summary['complete_episodes']:,} are complete |",
        f"| file | {size / 1e6:.1f} MB, sha256 `{sha256}` |",
        f"| versions | {versions} |",
        *([f"| commit | {metadata['git_commit']} |"] if metadata["git_commit"] else []),
        f"| license | {LICENSE} |",
        "",
        "A uniformly random policy scores 0, the best known policy 100; confidence intervals are 95 %.",
        "",
        "## Limitations",
        "",
        *(f"- {limitation}" for limitation in _limitations(tier, kind)),
    ]
    return "\n".join(lines) + "\n"


def _scores(metadata: Mapping[str, Any]) -> str:
    """Score of each policy, with its confidence interval."""
    scores = []
    for part, measured in zip(metadata["parts"], metadata["scores"], strict=True):
        interval = f"{measured['score_low']:.1f} – {measured['score_high']:.1f}"
        scores.append(f"{part['tier']} {measured['score']:.1f} ({interval})")
    return "; ".join(scores)


def _limitations(tier: Tier, kind: PolicyKind) -> list[str]:
    """Limitations of the data set, one sentence each."""
    cut = "The last episode is cut at the last transition (`infos/collection_cut`); means exclude it."
    return [text for text in (cut, tier.limitation(kind)) if text]
