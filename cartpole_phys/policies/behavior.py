"""Behavior policies: which kinds there are, and how each is described in a file and made again from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from cartpole_phys.backends.base import Backend, PolicySource
from cartpole_phys.backends.random_policy import UniformPolicy
from cartpole_phys.physics import Params
from cartpole_phys.policies import controllers as heuristic
from cartpole_phys.policies.controllers import swing_up
from cartpole_phys.policies.network import (
    Description,
    NetworkPolicy,
    Weights,
    compiled_network,
    executed,
    log_probs,
)
from cartpole_phys.policies.resolve import factory_description, policy_from_factory
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array

LOG_PROBS, RAW_ACTIONS = "infos/action_log_probs", "infos/raw_actions"
SIGN_FROM = 95.0  # score from which the discrete heuristic pushes by a sign: random pushes do not reach it

Rows = Mapping[str, Array]  # of a file, by D4RL's names


class Calibration(NamedTuple):
    """How the strength of a heuristic is found: a score, and the episodes that it is measured on."""

    score: float
    mean_return: float  # that has this score
    seed: int
    episodes: int = 1_000

    @property
    def stated(self) -> dict[str, Any]:
        """What a description says of it."""
        return {"episodes": self.episodes, "seed": self.seed, "target_score": self.score}


@dataclass(frozen=True)
class PolicyKind:
    """One kind of behavior policy.

    Recipes call it by its ``name``; a file's description of a policy has one of ``stored`` as its ``kind``.
    """

    name: str
    card: str  # what acted, on the card of a data set
    limitation: str = ""  # of the data, for the card
    stored: ClassVar[tuple[str, ...]]
    is_trained: ClassVar[bool] = False
    is_user_code: ClassVar[bool] = False  # not in the file, and not run because a file names it
    requirement: ClassVar[str] = ""  # why an environment is refused

    def supports(self, backend: Backend) -> bool:
        """Whether there are data sets of this kind in an environment."""
        return True

    def stored_in(self, backend: Backend) -> str:
        """The ``kind`` of its descriptions in an environment."""
        return self.stored[0]

    def describe(self, policy: str, backend: Backend, calibration: Calibration | None) -> dict[str, Any]:
        """The description of a policy; a trained one is described by its training run.

        Args:
            policy: its name, or MODULE:FACTORY.
            backend: where it acts.
            calibration: where it is a heuristic.

        Raises:
            InputError: if there is no such policy.
        """
        return {"kind": self.stored_in(backend)}

    def compile(self, description: Description, weights: Weights) -> CompiledPolicy:
        """The policy, ready for a rollout of one of this package's systems.

        Raises:
            InputError: if it is a network for other environments.
        """
        raise NotImplementedError

    def batch_policy(self, description: Description, weights: Weights) -> Policy | CompiledPolicy:
        """The policy for any environment: in Python on batches of observations, or the control law."""
        return self.compile(description, weights)

    def log_probs(self, description: Description, weights: Weights, backend: Backend, rows: Rows) -> Rows:
        """The log-probabilities of a file's rows and, where they follow from raw actions, the actions.

        Args:
            description: of the policy.
            weights: of the policy.
            backend: the environment.
            rows: N rows by name, each (N, …).

        Raises:
            InputError: if the actions have no probability, or the rows are not of such a policy.
        """
        raise NotImplementedError


class _Random(PolicyKind):
    stored = ("uniform",)

    def compile(self, description: Description, weights: Weights) -> CompiledPolicy:
        return heuristic.uniform()

    def log_probs(self, description: Description, weights: Weights, backend: Backend, rows: Rows) -> Rows:
        log_prob = UniformPolicy(backend.action_space).log_prob
        return {LOG_PROBS: np.full(len(rows["actions"]), log_prob, np.float32)}


class _Heuristic(PolicyKind):
    stored = ("proportional", "swing_up")
    requirement = "drives carts only"

    def supports(self, backend: Backend) -> bool:
        return backend.system is not None and backend.system.task.controller is not None

    def stored_in(self, backend: Backend) -> str:
        assert backend.system is not None
        assert backend.system.task.controller is not None
        return backend.system.task.controller

    def describe(self, policy: str, backend: Backend, calibration: Calibration | None) -> dict[str, Any]:
        """The heuristic whose mean return over the calibration's episodes is that of a score.

        Balancing is proportional control K θ, the gain K found by bisection; the discrete expert pushes by
        the sign of K θ + D θ̇, and no gain needs to be found. Swinging up is energy shaping with a
        linear-quadratic regulator, with as much noise on its actions as the score allows.
        """
        system = backend.system
        assert system is not None
        assert calibration is not None
        params, continuous, kind = system.params, system.continuous, {"kind": self.stored_in(backend)}
        aim = calibration.mean_return, calibration.episodes, calibration.seed
        if system.task.controller == "swing_up":
            strength = heuristic.calibrate(system, lambda strength: swing_up(params, 1.0 / strength), *aim)
            law = {"noise": 1.0 / strength, "params": params.as_mapping()}
        elif calibration.score >= SIGN_FROM and not continuous:
            return {**kind, "gain": 1.0, "damping": heuristic.DAMPING_RATIO, "continuous": continuous}
        else:
            gain = heuristic.calibrate(system, lambda gain: heuristic.proportional(gain, continuous), *aim)
            law = {"gain": gain, "damping": 0.0, "continuous": continuous}
        return {**kind, **law, "calibration": calibration.stated}

    def compile(self, description: Description, weights: Weights) -> CompiledPolicy:
        if description["kind"] == "swing_up":
            return swing_up(Params.from_mapping(description["params"]), float(description["noise"]))
        return heuristic.proportional(
            float(description["gain"]), bool(description["continuous"]), float(description["damping"])
        )

    def log_probs(self, description: Description, weights: Weights, backend: Backend, rows: Rows) -> Rows:
        count, system, observations = len(rows["actions"]), backend.system, rows["observations"]
        if system is None or observations.shape != (count, system.task.observation_size):
            raise InputError("the observations are not those of the environment")
        actions = np.ascontiguousarray(rows["actions"], np.float32).reshape(count)  # (N,) or (N, 1) -> (N,)
        room = np.empty(count, np.float32)
        policy = self.compile(description, weights)
        infos = policy.infos(np.asarray(observations, np.float32), actions, room, room)
        if "action_log_probs" not in infos:
            raise InputError(f"the actions of a {description['kind']} policy have no probability")
        return {LOG_PROBS: infos["action_log_probs"]}


class _Trained(PolicyKind):
    stored = ("network",)
    is_trained = True

    def compile(self, description: Description, weights: Weights) -> CompiledPolicy:
        return compiled_network(description, weights)

    def batch_policy(self, description: Description, weights: Weights) -> Policy | CompiledPolicy:
        return NetworkPolicy(description, weights)

    def log_probs(self, description: Description, weights: Weights, backend: Backend, rows: Rows) -> Rows:
        raw = rows.get(RAW_ACTIONS)
        acted = rows["actions"] if raw is None else raw
        found = {LOG_PROBS: log_probs(description, weights, rows["observations"], acted)}
        return found if raw is None else {**found, "actions": executed(description, raw)}


class _ContinuousActions(_Trained):
    requirement = "needs continuous actions"

    def supports(self, backend: Backend) -> bool:
        return isinstance(backend.action_space, Box)


class _UserSupplied(PolicyKind):
    stored = ("factory",)
    is_user_code = True

    def describe(self, policy: str, backend: Backend, calibration: Calibration | None) -> dict[str, Any]:
        return {**factory_description(policy)}


ONE_SEED = "One training seed: another one gives another agent of the same tier."
RANDOM = _Random("random", "uniformly random actions")
HEURISTIC = _Heuristic(
    "heuristic",
    "control by a formula, as strong as the tier's score wants it",
    "The behaviour is a formula of the tilt, and covers few states far from the middle.",
)
PPO = _Trained("ppo", "an agent that Stable-Baselines3 trained with Proximal Policy Optimization", ONE_SEED)
SAC = _ContinuousActions("sac", "an agent that Stable-Baselines3 trained with Soft Actor-Critic", ONE_SEED)
USER_SUPPLIED = _UserSupplied("MODULE:FACTORY", "a policy that a user supplied")
KINDS: Mapping[str, PolicyKind] = {kind.name: kind for kind in (RANDOM, HEURISTIC, PPO, SAC)}
# PPO and SAC describe their networks alike, so that either of them reads both.
STORED = {stored: kind for kind in (*KINDS.values(), USER_SUPPLIED) for stored in kind.stored}


def kind_of(policy: str) -> PolicyKind:
    """The kind of a policy that a recipe names.

    Raises:
        InputError: if there is no such policy.
    """
    if ":" in policy:
        return USER_SUPPLIED
    if policy not in KINDS:
        raise unknown("policy", policy, KINDS, " or MODULE:FACTORY")
    return KINDS[policy]


@dataclass(frozen=True)
class Behavior:
    """The behavior policy of a data set, or of one part of it.

    ``description`` (plain JSON values) and ``weights`` are stored in the file; together they give the
    policy back through ``from_description``.
    """

    description: Mapping[str, Any]
    weights: Weights = field(default_factory=dict)

    @property
    def kind(self) -> PolicyKind:
        """Of the policy."""
        return STORED[str(self.description["kind"])]

    @property
    def policy(self) -> CompiledPolicy:
        """The policy itself, see ``PolicyKind.compile``."""
        return self.kind.compile(self.description, self.weights)

    @property
    def batch_policy(self) -> Policy | CompiledPolicy:
        """The policy for any environment, see ``PolicyKind.batch_policy``."""
        return self.kind.batch_policy(self.description, self.weights)

    def source(self, backend: Backend) -> PolicySource:
        """What gives each thread or process its policy."""
        if not self.kind.is_user_code:
            return self
        place, sha256 = (str(self.description[key]) for key in ("place", "source_sha256"))
        return partial(policy_from_factory, place, backend, sha256)


def from_description(description: Mapping[str, Any], weights: Weights) -> Behavior:
    """A behavior from its description in a file.

    Raises:
        InputError: if the kind is unknown or a number or weight that it needs is missing or misshaped.
    """
    stored, known = description.get("kind"), [name for name in STORED if not STORED[name].is_user_code]
    if stored not in known:
        raise InputError(f"Expected a policy kind out of {', '.join(known)}, got {stored!r}.")
    behavior = Behavior(dict(description), dict(weights))
    try:
        _ = behavior.batch_policy  # a network may be for other environments than carts
    except InputError:
        raise
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"The description of the {stored} policy is not complete: {error!r}.") from error
    return behavior
