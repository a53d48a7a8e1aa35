"""Recipes of data sets, validated before any work starts, and the names derived from them."""

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
from cartpole_phys.data.building.evaluate_policy import MOST_EVALUATED, simulated_steps
from cartpole_phys.data.tiers import TIERS, check_combination, default_tier, tiers_of
from cartpole_phys.data.tiers.base import COLLECTION
from cartpole_phys.policies.behavior import KINDS, RANDOM, PolicyKind, kind_of
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError, is_integer

LONGEST_POLICY = 64  # characters of a policy in a name: file systems allow 255 for the whole
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")
TELLING_POLICY = re.compile(r"[a-z0-9]+([_.:][a-z0-9]+)*")  # without anything that a name leaves out
DATASET_VERSION = "v0"
DERIVED_NAME = re.compile(  # as Recipe.name makes them
    rf"[a-z0-9_.]+-({RANDOM.name}|({'|'.join(name for name in KINDS if name != RANDOM.name)})-[a-z-]+)"
    r"(-deterministic|-env[0-9a-f]{8}|-(steps|train|shards|score|seed)\d+|-d4rlv2)*"
    rf"-{DATASET_VERSION}"
)
MOST_STEPS = 10**12  # 90 TB
FEWEST_SCORED = 10  # episodes, of which an interval can be told
LEARNER_SEEDS = 2**32  # how many Stable-Baselines3 takes


@dataclass(frozen=True)
class Recipe:
    """One data set: equal recipes give equal arrays.

    Raises:
        InputError: on anything that cannot be built; the message says what can.
    """

    env_id: str = "PhysCartPole-v0"
    policy: str = "sac"  # random, heuristic, ppo, sac or MODULE:FACTORY
    tier: str = ""  # by default the policy's own: random, medium or unrated
    steps: int | None = None  # transitions; by default as many as D4RL has, or all that were recorded
    seed: int = 0
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    deterministic: bool = False  # a trained agent plays its mean action instead of sampling
    train_steps: int | None = None  # how long agents learn; by default as measured for the environment
    shard_steps: int | None = None  # transitions in each file of a set of several files
    d4rl_v2_metadata: bool = False  # D4RL's own groups beside the attributes
    score_episodes: int | None = None  # that the score is measured on; by default 1,000 if affordable

    def __post_init__(self) -> None:
        object.__setattr__(self, "env_id", self.backend.env_id)
        object.__setattr__(self, "env_kwargs", json_value(self.env_kwargs))
        spec_json(self.env_id, self.env_kwargs)  # which every file holds
        object.__setattr__(self, "tier", self.tier or default_tier(self.policy))
        check_combination(self.policy, self.tier, self.backend)
        object.__setattr__(self, "steps", self._default_steps if self.steps is None else self.steps)
        for flag, value in (("--steps", self.steps), ("--train-steps", self.train_steps)):
            if value is not None and (not is_integer(value) or value < 1):
                raise InputError(f"Expected {flag} of at least 1, got {value}.")
            if value is not None and value > MOST_STEPS:
                raise InputError(f"Expected {flag} of at most {MOST_STEPS:,}, got {value:,}.")
        if not is_integer(self.seed) or self.seed < 0:
            raise InputError(f"Expected --seed of at least 0, got {self.seed}.")
        for name in ("steps", "train_steps", "seed", "shard_steps", "score_episodes"):
            object.__setattr__(self, name, json_value(getattr(self, name)))  # no file holds NumPy's integers
        if self.steps is not None and self.steps < (parts := len(TIERS[self.tier].shares(self.steps))):
            raise InputError(f"Expected --steps of at least {parts} for this tier, got {self.steps}.")
        self._check_scoring()
        self._check_training()
        self._check_shards()

    def _check_scoring(self) -> None:
        """Refuse too few episodes for an interval, and more than a check evaluates again."""
        few = self.score_episodes
        if few is not None and (not is_integer(few) or few < FEWEST_SCORED):
            raise InputError(f"Expected --score-episodes of at least {FEWEST_SCORED}, got {few}.")
        if few is not None and simulated_steps(self.backend, few) > MOST_EVALUATED:
            most = MOST_EVALUATED // simulated_steps(self.backend, 1)
            raise InputError(
                f"Expected --score-episodes of at most {most:,}, which take {MOST_EVALUATED:,} steps of "
                f"the simulator, got {few:,}."
            )

    def _check_training(self) -> None:
        """Refuse what is for trained agents only."""
        for flag, given in (("--deterministic", self.deterministic), ("--train-steps", self.train_steps)):
            if given and not self.kind.is_trained:
                raise InputError(f"{flag} is for trained agents; policy {self.policy!r} is not trained.")
        if self.kind.is_trained and self.seed >= LEARNER_SEEDS:
            raise InputError(f"Expected --seed below {LEARNER_SEEDS:,} for a trained agent, got {self.seed}.")
        TIERS[self.tier].check(self)

    def _check_shards(self) -> None:
        """Refuse shards that cannot be."""
        if self.shard_steps is None:
            return
        if not is_integer(self.shard_steps) or self.shard_steps < 1:
            raise InputError(f"Expected --shard-steps of at least 1, got {self.shard_steps}.")
        if TIERS[self.tier].source != COLLECTION:
            raise InputError(
                f"--shard-steps does not go with {self.tier}, which is made in one piece; leave it out."
            )

    @cached_property
    def backend(self) -> Backend:
        """The environment."""
        return make_backend(self.env_id, self.env_kwargs)

    @property
    def kind(self) -> PolicyKind:
        """Of the policy."""
        return kind_of(self.policy)

    @property
    def _default_steps(self) -> int | None:
        return TIERS[self.tier].default_steps

    @property
    def parts(self) -> list[Recipe]:
        """The recipes of the single tiers that this one is the concatenation of."""
        if self.steps is None:
            return [replace(self, shard_steps=None)]
        return [
            replace(self, tier=tier, steps=rows, shard_steps=None)
            for tier, rows in TIERS[self.tier].shares(self.steps)
        ]

    @property
    def shard_count(self) -> int:
        """How many files a set of several files has."""
        return sum(self._shard_counts())

    def shard(self, number: int) -> tuple[int, int, Recipe]:
        """The number of the part, the number in it and the recipe of one file of a set of several files."""
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
        """How many files each part has."""
        assert self.shard_steps is not None
        return [-(-part.steps // self.shard_steps) for part in self.parts if part.steps is not None]

    @property
    def name(self) -> str:
        """The data set's name: the released one only for the released recipe.

        Every difference from the released recipe is spelled out in the name.
        """
        words = [_env_name(self.env_id), _policy_name(self.policy)]
        words += [self.tier] if self.kind != RANDOM else []
        if self.deterministic:
            words.append("deterministic")
        if self.env_kwargs:
            words.append("env" + _short_hash(json.dumps(self.env_kwargs, sort_keys=True)))
        if self.steps != self._default_steps:
            words.append(f"steps{self.steps}")
        if self.train_steps is not None:
            words.append(f"train{self.train_steps}")
        if self.shard_steps is not None:
            words.append(f"shards{self.shard_steps}")
        if self.d4rl_v2_metadata:
            words.append("d4rlv2")
        if self.score_episodes is not None:
            words.append(f"score{self.score_episodes}")
        if self.seed != 0:
            words.append(f"seed{self.seed}")
        return "-".join([*words, DATASET_VERSION])

    @property
    def command(self) -> str:
        """The command that builds exactly this."""
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
        """A seed for one purpose, far from the seeds of all others."""
        words = [self.seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "little"), number]
        return int(np.random.SeedSequence(words).generate_state(1)[0])

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**asdict(self), "env_kwargs": dict(self.env_kwargs)}


def recipe_from(fields: Any) -> Recipe:
    """The recipe that a file states.

    Raises:
        InputError: if it is none, or cannot be built by this version.
    """
    try:
        return Recipe(**fields)
    except TypeError as error:
        raise InputError(f"Expected a recipe's fields, got {fields!r:.200} ({error}).") from error


def _env_name(env_id: str) -> str:
    """An environment's id as a word of a file name: without the version where it is the data set's own."""
    name = re.sub("[^a-z0-9.]+", "_", env_id.lower())
    return name.removesuffix(f"_{DATASET_VERSION}") if env_id in CartPole.known_ids() else name


def _policy_name(policy: str) -> str:
    """A policy as a word of a file name, with a hash where letters alone would not tell it from others."""
    name = re.sub("[^a-z0-9]+", "_", policy.lower())
    if TELLING_POLICY.fullmatch(policy) and len(name) <= LONGEST_POLICY:
        return name
    return f"{name[:LONGEST_POLICY]}-{_short_hash(policy)}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def is_plain(name: str) -> bool:
    """Whether a name is a plain file name, and no path."""
    return NAME_PATTERN.fullmatch(name) is not None and ".." not in name


def check_name(name: str, recipe: Recipe) -> str:
    """A name chosen by the user, as the file will carry it, without an ending.

    Raises:
        InputError: if it is no plain file name, or the released name of another recipe.
    """
    name = name.removesuffix(".hdf5")
    if not NAME_PATTERN.fullmatch(name):
        raise InputError(
            f"Expected --name of lower-case letters, digits, '-', '_' and '.', got {name!r}; "
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
            f"The name {name!r} reads as that of another recipe; leave --name out to get {recipe.name!r}, or "
            f"choose one that does not end in -{DATASET_VERSION}."
        )
    return name


def released_recipes() -> dict[str, Recipe]:
    """The catalogue: every data set that a release holds, by name."""
    recipes = [
        Recipe(env_id, policy, tier)
        for env_id in CartPole.known_ids()
        for policy, kind in KINDS.items()
        for tier in tiers_of(policy)
        if kind.suits(make_backend(env_id, {})) and TIERS[tier].released
    ]
    return {recipe.name: recipe for recipe in recipes}
