"""Builds of data sets as a single file or a folder of shards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.parallel_shards import build_shards, cluster_builder, local_builder
from cartpole_phys.data.building.parts import prepare
from cartpole_phys.data.building.write import Built, build_file, file_exists_error
from cartpole_phys.data.recipe import Recipe, check_name
from cartpole_phys.data.shards import MANIFEST
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import reporting_write_errors, require_writable
from cartpole_phys.utils.parallel import processors
from cartpole_phys.utils.progress import Progress, Silent


@dataclass(frozen=True)
class Options:
    """Build options, which do not change the rows of the data set."""

    out: Path = Path(".")
    name: str | None = None
    jobs: int = 0  # number of threads or processes; 0 for one per processor
    retrain: bool = False
    overwrite: bool = False
    ray: str | None = None  # address of a Ray cluster that builds the shards

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise InputError(f"Expected --jobs of at least 1, or 0 for all processors, got {self.jobs}.")

    @property
    def workers(self) -> int:
        """Number of threads or processes."""
        return self.jobs or processors()


def build_dataset(
    env_id: str = "PhysCartPole-v0",
    policy: str = "sac",
    tier: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    deterministic: bool = False,
    train_steps: int | None = None,
    shard_steps: int | None = None,
    d4rl_v2_metadata: bool = False,
    score_episodes: int | None = None,
    out: str | os.PathLike[str] = ".",
    name: str | None = None,
    jobs: int = 0,
    ray: str | None = None,
    retrain: bool = False,
    overwrite: bool = False,
) -> Path:
    """Build a data set and return its path, ``<out>/<env>-<policy>-<tier>-v0.hdf5``.

    Args:
        env_id: any Gymnasium id.
        policy: behavior policy: ``"random"``, ``"heuristic"``, ``"ppo"``, ``"sac"``, or a user-supplied
            ``"module:factory"``.
        tier: quality tier; by default ``"medium"`` if the policy has it.
        steps: number of transitions; by default 1,000,000 per policy, or the whole replay in replay tiers.
        seed: random seed of training and collection.
        env_kwargs: arguments for the environment, as for ``gym.make``.
        deterministic: whether a trained agent takes mean actions instead of sampled ones.
        train_steps: training steps of agents; by default the measured number for the environment.
        shard_steps: transitions per shard; writes a folder of shards, whose path is returned.
        d4rl_v2_metadata: add D4RL's own groups ``metadata/…``, on which its ``sequence_dataset`` fails.
        score_episodes: evaluation episodes of the policy's score, at least 10; by default 1,000, or in
            environments of other packages as many as fit into 200,000 steps, but at least 100.
        out: the output folder, created if it does not exist.
        name: file name without suffix instead of the default.
        jobs: number of threads or processes; 0 for all processors.
        ray: the address of a Ray cluster that builds the shards.
        retrain: train the agent even if one of the same recipe is in the cache.
        overwrite: replace an existing file.

    Raises:
        InputError: if the recipe is invalid, the file exists or cannot be written, or a gate fails; the
            partial file is then removed.
    """
    recipe = Recipe(
        env_id=env_id,
        policy=policy,
        tier=tier or "",
        steps=steps,
        seed=seed,
        env_kwargs=dict(env_kwargs or {}),
        deterministic=deterministic,
        train_steps=train_steps,
        shard_steps=shard_steps,
        d4rl_v2_metadata=d4rl_v2_metadata,
        score_episodes=score_episodes,
    )
    return build(recipe, Options(Path(out), name, jobs, retrain, overwrite, ray), Silent()).path


def build(recipe: Recipe, options: Options, progress: Progress) -> Built:
    """Build the data set of a recipe with progress reports; see ``build_dataset``."""
    if options.ray is not None and recipe.shard_steps is None:
        raise InputError("Expected --shard-steps with --ray, which builds shards; add --shard-steps N.")
    name = check_name(options.name, recipe) if options.name is not None else recipe.name
    path = options.out / (name if recipe.shard_steps else f"{name}.hdf5")
    finished = path / MANIFEST if recipe.shard_steps else path
    if finished.exists() and not options.overwrite:
        raise file_exists_error(path, "--name")
    with reporting_write_errors(path):
        require_writable(options.out)
    prepared = prepare(recipe, Cache.REPLACE if options.retrain else Cache.USE, progress)
    if recipe.shard_steps is None:
        return build_file(path, name, recipe, prepared, options.workers, progress)
    builder = local_builder(options.workers) if options.ray is None else cluster_builder(options.ray)
    return build_shards(path, name, recipe, prepared, builder, progress)
