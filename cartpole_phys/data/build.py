"""Builds a data set: behaviour policies, their episodes, one file that has passed every gate."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cartpole_phys.data.check import PASSED, check
from cartpole_phys.data.d4rl import METADATA_HASH, SCHEMA_VERSION, Contents, contents_of, write
from cartpole_phys.data.recipe import DEFAULT_STEPS, Recipe, check_name
from cartpole_phys.data.score import mean_interval, normalized_score, references
from cartpole_phys.data.tiers import (
    default_tier,
    heuristic_behaviour,
    parts,
    random_behaviour,
    sac_behaviour,
)
from cartpole_phys.episodes import CUT, Episodes, concatenate
from cartpole_phys.errors import InputError
from cartpole_phys.policies.behaviour import Behaviour
from cartpole_phys.rollout import collect, play

EVALUATION_EPISODES = 1_000  # per behaviour policy, on a stored seed


class Progress(Protocol):
    """Is told how far a build has come."""

    def training(self, steps: int, mean_return: float) -> None:
        """The agent was trained for ``steps`` steps and its latest checkpoint has this mean return."""
        ...

    def collecting(self, rows: int, total: int) -> None:
        """``rows`` of ``total`` transitions are collected."""
        ...

    def stage(self, text: str) -> None:
        """A new stage has begun."""
        ...


class Silent:
    """Tells nobody."""

    def training(self, steps: int, mean_return: float) -> None:
        """Say nothing."""

    def collecting(self, rows: int, total: int) -> None:
        """Say nothing."""

    def stage(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Built:
    """A finished data set: where it is and what is in it."""

    path: Path
    transitions: int
    episodes: int
    mean_return: float  # of the episodes that were not cut
    score: float  # of the same
    sha256: str  # of the metadata, which hold the hash of every array


def build_dataset(
    env_id: str = "PhysCartPole-v0",
    policy: str = "sac",
    tier: str | None = None,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    deterministic: bool = False,
    out: str | os.PathLike[str] = ".",
    name: str | None = None,
    retrain: bool = False,
    overwrite: bool = False,
) -> Path:
    """Build a data set and return the path of its file, ``<out>/<env>-<policy>-<tier>-v0.hdf5``.

    Args:
        env_id: a registered environment id.
        policy: ``"random"``, ``"heuristic"`` or ``"sac"``.
        tier: the quality of the behaviour, ``"medium"`` unless the policy is random.
        steps: how many transitions.
        seed: decides every random choice, training included.
        env_kwargs: arguments for the environment, as for ``gym.make``.
        deterministic: whether a trained agent plays its mean action instead of sampling.
        out: the folder for the file; made if it is not there.
        name: another file name, without its ending.
        retrain: train the agent anew even if one of the same recipe is in the cache.
        overwrite: replace a file of the same name.

    Raises:
        InputError: if the recipe makes no sense, the file exists, or a gate fails.
        OSError: if the file cannot be written; nothing half-written stays.
    """
    tier = default_tier(policy) if tier is None else tier
    recipe = Recipe(env_id, policy, tier, steps, seed, dict(env_kwargs or {}), deterministic)
    return build(recipe, Path(out), name, retrain, overwrite, Silent()).path


def build(
    recipe: Recipe, out: Path, name: str | None, retrain: bool, overwrite: bool, progress: Progress
) -> Built:
    """Build a recipe's data set, telling ``progress``; see ``build_dataset``."""
    name = check_name(name, recipe) if name is not None else recipe.name
    path = out / f"{name}.hdf5"
    if path.exists() and not overwrite:
        raise InputError(
            f"The file '{path}' exists already; pass --overwrite to replace it, or another --name."
        )
    with _unfinished(path) as partial:
        behaviours = make_behaviours(recipe, retrain, progress)
        episodes = _collect(recipe, behaviours, progress)
        progress.stage("writing")
        contents = _contents(recipe, name, behaviours, episodes)
        write(partial, contents)
        progress.stage("checking")
        _require_all_gates(partial)
        os.replace(partial, path)
        _sync_folder(out)
    return _built(path, recipe, episodes, contents)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A path to write to before the work is proven; it never outlives an error or an interrupt."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()  # fails before any work where the folder cannot be written
        yield partial
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(
            f"Cannot write '{path}' ({reason}); free some space there or choose another folder with --out."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring the new name of a file to disk, where the platform can open folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_behaviours(recipe: Recipe, retrain: bool, progress: Progress) -> list[Behaviour]:
    """The behaviour policies of a recipe, one for each part of its tier."""
    behaviours = []
    for i, tier in enumerate(parts(recipe.tier)):
        if recipe.policy == "random":
            behaviours.append(random_behaviour())
        elif recipe.policy == "heuristic":
            seed = recipe.derived_seed("calibration", i)
            behaviours.append(heuristic_behaviour(recipe.env_id, recipe.system, tier, seed))
        else:
            progress.stage("training")
            behaviours.append(
                sac_behaviour(
                    recipe.env_id,
                    recipe.env_kwargs,
                    tier,
                    recipe.seed,
                    recipe.deterministic,
                    retrain,
                    progress.training,
                )
            )
    return behaviours


def _collect(recipe: Recipe, behaviours: list[Behaviour], progress: Progress) -> Episodes:
    """Exactly ``recipe.steps`` rows, shared evenly among the behaviours."""
    progress.stage("collecting")
    share, rest = divmod(recipe.steps, len(behaviours))
    if not share:
        raise InputError(f"Expected --steps of at least {len(behaviours)} for this tier, got {recipe.steps}.")
    collected: list[Episodes] = []
    for i, behaviour in enumerate(behaviours):

        def tell(rows: int, done: int = sum(part.steps for part in collected)) -> None:
            progress.collecting(done + rows, recipe.steps)

        seed = recipe.derived_seed("collection", i)
        collected.append(collect(recipe.system, behaviour.policy, share + (i < rest), seed, tell))
    return concatenate(collected)


def _contents(recipe: Recipe, name: str, behaviours: list[Behaviour], episodes: Episodes) -> Contents:
    """The file's contents: episodes, and where they come from."""
    return contents_of(
        episodes,
        {
            "schema_version": SCHEMA_VERSION,
            "dataset_name": name,
            "env_id": recipe.env_id,
            "env_kwargs": dict(recipe.env_kwargs),
            "params": {key: float(value) for key, value in vars(recipe.system.params).items()},
            "algorithm": recipe.policy,
            "tier": recipe.tier,
            "recipe": recipe.as_dict(),
            "command": recipe.command,
            "parts": [dict(behaviour.description) for behaviour in behaviours],
            "collection_seeds": [recipe.derived_seed("collection", i) for i in range(len(behaviours))],
            "evaluation": {"episodes": EVALUATION_EPISODES, "seed": recipe.derived_seed("evaluation")},
            "scores": [_evaluation(recipe, behaviour) for behaviour in behaviours],
            "references": references(recipe.env_id),
            "versions": package_versions(),
            "git_commit": git_commit(),
        },
        {str(i): behaviour.weights for i, behaviour in enumerate(behaviours) if behaviour.weights},
    )


def _evaluation(recipe: Recipe, behaviour: Behaviour) -> dict[str, float]:
    """How one behaviour scores over its evaluation episodes."""
    played = play(recipe.system, behaviour.policy, EVALUATION_EPISODES, recipe.derived_seed("evaluation"))
    mean, low, high = mean_interval(normalized_score(recipe.env_id, played.returns))
    return {"mean_return": float(played.returns.mean()), "score": mean, "score_low": low, "score_high": high}


def _require_all_gates(path: Path) -> None:
    failed = [result for result in check(path) if result.status != PASSED]
    if failed:
        raise InputError(
            f"The built data set did not pass its own check, so it was not kept: gate {failed[0].gate}, "
            f"{failed[0].detail}; try another --seed or more --steps."
        )


def _built(path: Path, recipe: Recipe, episodes: Episodes, contents: Contents) -> Built:
    complete = ~episodes.infos[CUT][episodes.offsets[1:] - 1]
    returns = episodes.returns[complete]
    mean = float(returns.mean()) if len(returns) else float("nan")
    return Built(
        path=path,
        transitions=episodes.steps,
        episodes=len(episodes),
        mean_return=mean,
        score=float(np.asarray(normalized_score(recipe.env_id, mean))),
        sha256=str(contents.metadata[METADATA_HASH]),
    )


def package_versions() -> dict[str, str]:
    """Versions of what the arrays depend on."""
    names = ("cartpole-phys", "numpy", "numba", "gymnasium", "h5py", "isal")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def git_commit() -> str:
    """The commit of the clone that this package runs from, or "" for an installed release."""
    folder = Path(__file__).parent
    if not (folder.parent.parent / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
