"""The card of a data set: what it is, how it was made, what it is worth and where its limits are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cartpole_phys.data.tiers import TIERS
from cartpole_phys.data.tiers.base import Tier
from cartpole_phys.policies.behavior import PolicyKind, kind_of

LICENSE, LICENSE_URL = "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"


def card(name: str, metadata: Mapping[str, Any], size: int, sha256: str) -> str:
    """The card as Markdown, with the front matter that Hugging Face reads; all from the file's metadata."""
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
        f"| made by | `{metadata['command']}` |",
        f"| score | {_scores(metadata)} |",
        f"| episodes | {summary['episodes']:,}, of which {summary['complete_episodes']:,} are complete |",
        f"| file | {size / 1e6:.1f} MB, sha256 `{sha256}` |",
        f"| versions | {versions} |",
        *([f"| commit | {metadata['git_commit']} |"] if metadata["git_commit"] else []),
        f"| license | {LICENSE} |",
        "",
        "A score of 0 is a uniformly random policy and 100 the best known one; intervals are of 95 %.",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(tier, kind)),
    ]
    return "\n".join(lines) + "\n"


def _scores(metadata: Mapping[str, Any]) -> str:
    """Of each policy, with its interval."""
    told = []
    for part, measured in zip(metadata["parts"], metadata["scores"], strict=True):
        interval = f"{measured['score_low']:.1f} – {measured['score_high']:.1f}"
        told.append(f"{part['tier']} {measured['score']:.1f} ({interval})")
    return "; ".join(told)


def _limits(tier: Tier, kind: PolicyKind) -> list[str]:
    """What a user has to know."""
    limits = [
        "The last episode is cut where it did not fit (`infos/collection_cut`); it does not count in means."
    ]
    if told := tier.limitation(kind):
        limits.append(told)
    return limits
