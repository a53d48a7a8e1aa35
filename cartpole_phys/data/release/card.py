"""The card of a data set: what it is, how it was made, what it is worth and where its limits are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cartpole_phys.data.tiers import COMPOSITES, REPLAYS

LICENCE, LICENCE_URL = "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"
ACTED = {
    "random": "uniformly random actions",
    "heuristic": "control by a formula, as strong as the tier's score wants it",
    "ppo": "an agent that Stable-Baselines3 trained with Proximal Policy Optimization",
    "sac": "an agent that Stable-Baselines3 trained with Soft Actor-Critic",
}


def card(name: str, metadata: Mapping[str, Any], size: int, sha256: str) -> str:
    """The card as Markdown, with the front matter that Hugging Face reads; all from the file's metadata."""
    summary, env_id = metadata["summary"], metadata["env_id"]
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
        f"{_acted(metadata)}.",
        "",
        "| | |",
        "|---|---|",
        f"| made by | `{metadata['command']}` |",
        f"| score | {_scores(metadata)} |",
        f"| episodes | {summary['episodes']:,}, of which {summary['complete_episodes']:,} are complete |",
        f"| file | {size / 1e6:.1f} MB, sha256 `{sha256}` |",
        f"| versions | {versions} |",
        *([f"| commit | {metadata['git_commit']} |"] if metadata["git_commit"] else []),
        f"| licence | {LICENCE} |",
        "",
        "A score of 0 is a uniformly random policy and 100 the best known one; intervals are of 95 %.",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(metadata)),
    ]
    return "\n".join(lines) + "\n"


def _acted(metadata: Mapping[str, Any]) -> str:
    tier, policy = str(metadata["tier"]), str(metadata["algorithm"])
    if tier in REPLAYS:
        end = "the medium checkpoint" if tier == "medium-replay" else "the end of the training run"
        return f"what the {policy} learner did, from its first step to {end}"
    what = ACTED.get(policy, policy)
    return (
        f"{what}; the tiers {', '.join(COMPOSITES[tier])} one after another" if tier in COMPOSITES else what
    )


def _scores(metadata: Mapping[str, Any]) -> str:
    """Of each policy, with its interval."""
    told = []
    for part, measured in zip(metadata["parts"], metadata["scores"], strict=True):
        interval = f"{measured['score_low']:.1f} – {measured['score_high']:.1f}"
        told.append(f"{part['tier']} {measured['score']:.1f} ({interval})")
    return "; ".join(told)


def _limits(metadata: Mapping[str, Any]) -> list[str]:
    """What a user has to know."""
    limits = [
        "The last episode is cut where it did not fit (`infos/collection_cut`); it does not count in means."
    ]
    if metadata["tier"] in REPLAYS:
        limits.append("The behaviour changes from row to row, so there are no log-probabilities.")
    elif metadata["algorithm"] in ("ppo", "sac"):
        limits.append("One training seed: another one gives another agent of the same tier.")
    elif metadata["algorithm"] == "heuristic":
        limits.append("The behaviour is a formula of the tilt, and covers few states far from the middle.")
    return limits
