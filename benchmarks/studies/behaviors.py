"""Those whom methods have to beat: whoever made the data, as it acted and by its mean action."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.studies.cell import ELIGIBLE, EVALUATION_SEED, Protocol, data_path
from cartpole_phys.backends.base import PolicySource
from cartpole_phys.data.hdf5.file import Header, read_header
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.policies.behavior import Behavior, from_description
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.utils.errors import InputError
from dt.data.source import describe as describe_data

RANDOM, SAMPLED, MEAN_ACTION = "random", "behavior, sampled", "behavior, mean action"
BEST = "best behavior policy, mean action"  # of the behavior policies in the mixture
NAME = "behaviours.json"  # of the file with the result of a data set's behaviors


def path(data: Recipe, results: Path) -> Path:
    """Where the result of a data set's behaviors is kept."""
    return results / data.name / NAME


def measure(data: Recipe, protocol: Protocol, folder: Path) -> dict[str, Any]:
    """What the data hold, and the returns of each part's policy on the episodes that models play.

    Args:
        data: a data set of ``folder``; each of its parts has a policy.
        protocol: how many episodes and seeds.
        folder: where the data are.
    """
    header, source = read_header(data_path(data, folder)), describe_data(load_file(data_path(data, folder)))
    parts = []
    for number, described in enumerate(header.metadata["parts"]):
        for name in (SAMPLED, MEAN_ACTION):
            played = _played(data, policy_of(header, number, mean_action=name == MEAN_ACTION), protocol)
            parts.append({"name": name, "tier": described["tier"], "rows": described["rows"], **played})
    parts.append({"name": RANDOM, "tier": "random", "rows": 0, **_played(data, uniform(), protocol)})
    return {
        "data": data.name,
        "data_sha256": source.sha256,
        ELIGIBLE: asdict(source.eligible),
        "rows": header.metadata["summary"]["transitions"],
        "mean_return": source.mean_return,
        "parts": parts,
        "evaluation_seed": EVALUATION_SEED,
        **describe(),
    }


def check_protocol(name: str, result: dict[str, Any], protocol: Protocol) -> None:
    """Refuse a result with another number of episodes or of sets of start states.

    Args:
        name: the data set's.
        result: of ``measure``.
        protocol: how the models are measured.

    Raises:
        InputError: if it is one.
    """
    sets = len(_starts(protocol))
    for part in result["parts"]:
        shape = np.shape(part["returns"])
        if shape != (sets, protocol.episodes):
            raise InputError(
                f"Expected behavior policies of {name} to be played for {sets} set{'s'[: sets - 1]} of "
                f"{protocol.episodes} episodes, got {' of '.join(map(str, shape))}; delete "
                f"{NAME} of this data set and run the study again."
            )


def policy_of(header: Header, part: int, mean_action: bool) -> Behavior:
    """Who acted in a part of a file, sampled or by its mean action, which has no noise."""
    described: dict[str, Any] = header.metadata["parts"][part]
    acting = {"deterministic": True, "noise": 0.0} if mean_action else {}
    return from_description({**described, **acting}, header.weights.get(str(part), {}))


def _played(data: Recipe, policy: PolicySource | Behavior, protocol: Protocol) -> dict[str, Any]:
    """Returns (sets of start states, episodes), and the mean length, which says how many the data have."""
    played = [data.backend.play(policy, protocol.episodes, seed) for seed in _starts(protocol)]
    return {
        "mean_length": float(np.mean([one.lengths for one in played])),
        "returns": [[round(float(value), 3) for value in one.returns] for one in played],
    }


def _starts(protocol: Protocol) -> list[int]:
    """The seeds of the sets of start states that the models of a study are evaluated on."""
    return sorted({protocol.evaluation_seed(seed) for seed in range(protocol.seeds)})


def run_returns(result: dict[str, Any], name: str) -> np.ndarray:
    """The mean return (seeds,) of one of the names above; parts count as often as the data have episodes."""
    if name == RANDOM:
        return _returns(result, RANDOM)[0]
    if name == BEST:
        means = _returns(result, MEAN_ACTION)
        return np.asarray(means[means.mean(axis=1).argmax()])
    acted = [part for part in result["parts"] if part["name"] == SAMPLED]
    episodes = [part["rows"] / part["mean_length"] for part in acted]
    return np.asarray(np.average(_returns(result, name), axis=0, weights=episodes))


def _returns(result: dict[str, Any], name: str) -> np.ndarray:
    """The mean return (parts, seeds) of each part's policy."""
    return np.array([np.mean(part["returns"], axis=1) for part in result["parts"] if part["name"] == name])
