"""Recipes of data sets, validated on creation, and the names derived from them."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from cartpole_phys.arguments import json_value
from cartpole_phys.backends.base import Backend
from cartpole_phys.backends.make import spec_json
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data.building.evaluate_policy import MAX_EVALUATION_STEPS, simulated_steps
from cartpole_phys.data.tiers import TIERS, check_combination, default_tier, tiers_of
from cartpole_phys.data.tiers.base import COLLECTION
from cartpole_phys.policies.behavior import KINDS, RANDOM, PolicyKind, kind_of
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError, is_integer

MAX_POLICY_LENGTH = 64  # characters of a policy in a name; file systems allow 255 for the whole name
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")
UNAMBIGUOUS_POLICY = re.compile(r"[a-z0-9]+([_.:][a-z0-9]+)*")  # recognizable without a hash in the name
DATASET_VERSION = "v0"
DERIVED_NAME = re.compile(  # in the form of Recipe.name
    rf"[a-z0-9_.]+-({RANDOM.name}|({'|'.join(name for name in KINDS if name != RANDOM.name)})-[a-z-]+)"
    r"(-deterministic|-env[0-9a-f]{8}|-(steps|train|shards|score|seed)\d+|-d4rlv2)*"
    rf"-{DATASET_VERSION}"
)
MAX_STEPS = 10**12  # 90 TB
MIN_SCORED_EPISODES = 10  # for a confidence interval of the score
LEARNER_SEEDS = 2**32  # Stable-Baselines3 requires smaller seeds


@dataclass(frozen=True)
class Recipe:
    """Definition of a data set; equal recipes give equal arrays.

    Raises:
        InputError: on fields that cannot be built; the message gives valid values.
    """

    env_id: str = "PhysCartPole-v0"
    policy: str = "sac"  # random, heuristic, ppo, sac or MODULE:FACTORY
    tier: str = ""  # by default random, medium or unrated, depending on the policy
    steps: int | None = None  # transitions; by default as in D4RL, or the whole recording
    seed: int = 0
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    deterministic: bool = False  # a trained agent takes mean actions instead of sampled ones
    train_steps: int | None = None  # training steps of agents; by default measured for the environment
    shard_steps: int | None = None  # transitions per shard; by default one file
    d4rl_v2_metadata: bool = False  # D4RL's own groups in addition to the attributes
    score_episodes: int | None = None  # evaluation episodes of the score; by default 1,000 if affordable

    def __post_init__(self) -> None:
        object.__setattr__(self, "env_id", self.backend.env_id)
        object.__setattr__(self, "env_kwargs", json_value(self.env_kwargs))
        spec_json(self.env_id, self.env_kwargs)  # every file contains it
        object.__setattr__(self, "tier", self.tier or default_tier(self.policy))
        check_combination(self.policy, self.tier, self.backend)
        object.__setattr__(self, "steps", self._default_steps if self.steps is None else self.steps)
        for flag, value in (("--steps", self.steps), ("--train-steps", self.train_steps)):
            if value is not None and (not is_integer(value) or value < 1):
                raise InputError(f"Expected {flag} of at least 1, got {value}.")
            if value is not None and value > MAX_STEPS:
                raise InputError(f"Expected {flag} of at most {MAX_STEPS:,}, got {value:,}.")
        if not is_integer(self.seed) or self.seed < 0:
            raise InputError(f"Expected --seed of at least 0, got {self.seed}.")
        for name in ("steps", "train_steps", "seed", "shard_steps", "score_episodes"):
            object.__setattr__(self, name, json_value(getattr(self, name)))  # NumPy integers are not JSON
        if self.steps is not None and self.steps < (parts := len(TIERS[self.tier].shares(self.steps))):
            raise InputError(f"Expected --steps of at least {parts} for this tier, got {self.steps}.")
        self._check_scoring()
        self._check_training()
        self._check_shards()

    def _check_scoring(self) -> None:
        """Refuse too few evaluation episodes for an interval, and too many for a check."""
        episodes = self.score_episodes
        if episodes is None:
            return
        if not is_integer(episodes) or episodes < MIN_SCORED_EPISODES:
            raise InputError(f"Expected --score-episodes of at least {MIN_SCORED_EPISODES}, got {episodes}.")
        if simulated_steps(self.backend, episodes) > MAX_EVALUATION_STEPS:
            most = MAX_EVALUATION_STEPS // simulated_steps(self.backend, 1)
            raise InputError(
                f"Expected --score-episodes of at most {most:,}, or {MAX_EVALUATION_STEPS:,} steps of the "
                f"simulator, got {episodes:,}."
            )

    def _check_training(self) -> None:
        """Refuse training options for policies that are not trained, and invalid combinations of them."""
        for flag, given in (("--deterministic", self.deterministic), ("--train-steps", self.train_steps)):
            if given and not self.kind.is_trained:
                raise InputError(
                    f"{flag} is for trained agents only; leave it out for policy {self.policy!r}."
                )
        if self.kind.is_trained and self.seed >= LEARNER_SEEDS:
            raise InputError(f"Expected --seed below {LEARNER_SEEDS:,} for a trained agent, got {self.seed}.")
        TIERS[self.tier].check(self)

    def _check_shards(self) -> None:
        """Refuse invalid shard sizes, and shards of tiers that do not support them."""
        if self.shard_steps is None:
            return
        if not is_integer(self.shard_steps) or self.shard_steps < 1:
            raise InputError(f"Expected --shard-steps of at least 1, got {self.shard_steps}.")
        if TIERS[self.tier].source != COLLECTION:
            raise InputError(
                f"--shard-steps is incompatible with {self.tier}, which needs a single file; leave it out."
            )

    @cached_property
    def backend(self) -> Backend:
        """The environment."""
        return make_backend(self.env_id, self.env_kwargs)

    @property
    def kind(self) -> PolicyKind:
        """Kind of the policy."""
        return kind_of(self.policy)

    @property
    def _default_steps(self) -> int | None:
        return TIERS[self.tier].default_steps

    @property
    def parts(self) -> list[Recipe]:
        """Recipes of the single-tier parts of which the data set is the concatenation."""
        if self.steps is None:
            return [replace(self, shard_steps=None)]
        return [
            replace(self, tier=tier, steps=rows, shard_steps=None)
            for tier, rows in TIERS[self.tier].shares(self.steps)
        ]

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return sum(self._shard_counts())

    def shard(self, number: int) -> tuple[int, int, Recipe]:
        """Number of a shard's part, its number in the part, and its recipe as a single file."""
        assert self.shard_steps is not None
        part = 0
        for count in self._shard_counts():
            if number < count:
                break
            part, number = part + 1, number - count
        whole = self.parts[part]
        assert whole.steps is not None
        rows = min(self.shard_steps, whole.steps - number * self.shard_steps)
        return part, number, replace(whole, steps=rows)

    def _shard_counts(self) -> list[int]:
        """Number of shards of each part."""
        assert self.shard_steps is not None
        return [-(-part.steps // self.shard_steps) for part in self.parts if part.steps is not None]

    @property
    def name(self) -> str:
        """Name of the data set, which includes every difference from the released recipe."""
        words = (
            _env_name(self.env_id),
            _policy_name(self.policy),
            self.kind != RANDOM and self.tier,
            self.deterministic and "deterministic",
            self.env_kwargs and "env" + _short_hash(json.dumps(self.env_kwargs, sort_keys=True)),
            self.steps != self._default_steps and f"steps{self.steps}",
            self.train_steps is not None and f"train{self.train_steps}",
            self.shard_steps is not None and f"shards{self.shard_steps}",
            self.d4rl_v2_metadata and "d4rlv2",
            self.score_episodes is not None and f"score{self.score_episodes}",
            self.seed != 0 and f"seed{self.seed}",
            DATASET_VERSION,
        )
        return "-".join(str(word) for word in words if word)

    @property
    def command(self) -> str:
        """Command that builds exactly this data set."""
        words = ["build-dataset", "--policy", self.policy, "--tier", self.tier, "--env", self.env_id]
        if self.env_kwargs:
            words += ["--env-kwargs", json.dumps(self.env_kwargs, sort_keys=True)]
        numbers = {
            "steps": self.steps,
            "train-steps": self.train_steps,
            "shard-steps": self.shard_steps,
            "score-episodes": self.score_episodes,
        }
        for flag, value in {**numbers, "seed": self.seed}.items():
            words += [f"--{flag}", str(value)] if value is not None else []
        flags = {"--deterministic": self.deterministic, "--d4rl-v2-metadata": self.d4rl_v2_metadata}
        return shlex.join([*words, *(flag for flag, given in flags.items() if given)])

    def derived_seed(self, purpose: str, number: int = 0) -> int:
        """Random seed for one purpose, independent of the seeds for others."""
        words = [self.seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "little"), number]
        return int(np.random.SeedSequence(words).generate_state(1)[0])

    def as_dict(self) -> dict[str, Any]:
        """Fields as plain JSON values."""
        return {**asdict(self), "env_kwargs": dict(self.env_kwargs)}


def recipe_from(fields: Any) -> Recipe:
    """Create a recipe from the fields in a file.

    Raises:
        InputError: if the fields are not those of a recipe, or this version cannot build it.
    """
    try:
        return Recipe(**fields)
    except TypeError as error:
        raise InputError(f"Expected the fields of a recipe, got {fields!r:.200} ({error}).") from error


def _env_name(env_id: str) -> str:
    """Environment id as a word of a file name, without the version if it equals the data set's version."""
    name = re.sub("[^a-z0-9.]+", "_", env_id.lower())
    return name.removesuffix(f"_{DATASET_VERSION}") if env_id in CartPole.known_ids() else name


def _policy_name(policy: str) -> str:
    """Policy as a word of a file name, with a hash if the word alone would be ambiguous."""
    name = re.sub("[^a-z0-9]+", "_", policy.lower())
    if UNAMBIGUOUS_POLICY.fullmatch(policy) and len(name) <= MAX_POLICY_LENGTH:
        return name
    return f"{name[:MAX_POLICY_LENGTH]}-{_short_hash(policy)}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def is_plain(name: str) -> bool:
    """Whether a name is a plain file name and not a path."""
    return NAME_PATTERN.fullmatch(name) is not None and ".." not in name


def check_name(name: str, recipe: Recipe) -> str:
    """Check a name chosen by the user, and return it without the suffix ``.hdf5``.

    Raises:
        InputError: if it is not a plain file name, or it is the name of another recipe.
    """
    name = name.removesuffix(".hdf5")
    if not NAME_PATTERN.fullmatch(name):
        raise InputError(
            f"Expected --name of lowercase letters, digits, '-', '_' and '.', got {name!r}; "
            "choose the folder with --out."
        )
    released = released_recipes().get(name)
    if released is not None and released != recipe:
        raise InputError(
            f"The name {name!r} belongs to the released recipe ({released.command}); "
            f"leave --name out to get {recipe.name!r}."
        )
    if DERIVED_NAME.fullmatch(name) and name != recipe.name:
        raise InputError(
            f"The name {name!r} has the form of another recipe's name; leave --name out to get "
            f"{recipe.name!r}, or choose a name that does not end in -{DATASET_VERSION}."
        )
    return name


def released_recipes() -> dict[str, Recipe]:
    """Recipes of all data sets of a release, by name."""
    recipes = [
        Recipe(env_id, policy, tier)
        for env_id in CartPole.known_ids()
        for policy, kind in KINDS.items()
        for tier in tiers_of(policy)
        if kind.supports(make_backend(env_id, {})) and TIERS[tier].released
    ]
    return {recipe.name: recipe for recipe in recipes}
