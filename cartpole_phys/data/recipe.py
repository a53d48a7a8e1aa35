"""What is to be built, validated before any work starts, and the name that it gets."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cartpole_phys.data.tiers import TIERS, check_combination, offered
from cartpole_phys.errors import InputError
from cartpole_phys.system import CartPole

DEFAULT_STEPS = 1_000_000  # transitions, as D4RL
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Recipe:
    """One data set: equal recipes give equal arrays.

    Raises:
        InputError: on anything that cannot be built; the message says what can.
    """

    env_id: str = "PhysCartPole-v0"
    policy: str = "sac"
    tier: str = "medium"
    steps: int = DEFAULT_STEPS  # transitions
    seed: int = 0
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    deterministic: bool = False  # a trained agent plays its mean action instead of sampling

    def __post_init__(self) -> None:
        check_combination(self.policy, self.tier, self.system)
        if self.steps < 1:
            raise InputError(f"Expected --steps of at least 1, got {self.steps}.")
        if self.seed < 0:
            raise InputError(f"Expected --seed of at least 0, got {self.seed}.")
        if self.deterministic and self.policy != "sac":
            raise InputError(
                f"--deterministic is for trained agents; policy {self.policy!r} has one way to act."
            )

    @property
    def system(self) -> CartPole:
        """The environment's physics and task."""
        return CartPole.from_id(self.env_id, self.env_kwargs)

    @property
    def name(self) -> str:
        """The data set's name: the released one only for the released recipe.

        Every difference from the released recipe is spelled out in the name.
        """
        env_name, version = self.env_id.lower().rsplit("-", 1)
        words = [env_name, self.policy] + ([self.tier] if self.policy != "random" else [])
        if self.deterministic:
            words.append("deterministic")
        if self.env_kwargs:
            canonical = json.dumps(self.env_kwargs, sort_keys=True).encode()
            words.append("env" + hashlib.sha256(canonical).hexdigest()[:8])
        if self.steps != DEFAULT_STEPS:
            words.append(f"steps{self.steps}")
        if self.seed != 0:
            words.append(f"seed{self.seed}")
        return "-".join([*words, version])

    @property
    def command(self) -> str:
        """The command that builds exactly this."""
        words = ["build-dataset", "--policy", self.policy, "--tier", self.tier, "--env", self.env_id]
        if self.env_kwargs:
            words += ["--env-kwargs", json.dumps(self.env_kwargs, sort_keys=True)]
        words += ["--steps", str(self.steps), "--seed", str(self.seed)]
        return shlex.join([*words, "--deterministic" if self.deterministic else "--stochastic"])

    def derived_seed(self, purpose: str, part: int = 0) -> int:
        """A seed for one purpose, far from the seeds of all others."""
        words = [self.seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "little"), part]
        return int(np.random.SeedSequence(words).generate_state(1)[0])

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**asdict(self), "env_kwargs": dict(self.env_kwargs)}


def check_name(name: str, recipe: Recipe) -> str:
    """A name chosen by the user, as the file will carry it.

    Raises:
        InputError: if it is no plain file name, or the released name of another recipe.
    """
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
    return name


def released_recipes() -> dict[str, Recipe]:
    """The catalogue: every data set that a release holds, by name."""
    recipes = [
        Recipe(env_id, policy, tier)
        for env_id in CartPole.known_ids()
        for policy, tiers in TIERS.items()
        for tier in tiers
        if offered(policy, CartPole.from_id(env_id))
    ]
    return {recipe.name: recipe for recipe in recipes}
