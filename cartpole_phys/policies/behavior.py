"""Behavior policies: the kinds of policies, and their descriptions in files, from which they are restored."""

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
MIN_SIGN_SCORE = 95.0  # from this score on the discrete heuristic is deterministic: random actions score less

Rows = Mapping[str, Array]  # of a file, by D4RL's array names


class Calibration(NamedTuple):
    """Calibration of a heuristic's strength: the target score and the evaluation episodes."""

    score: float
    mean_return: float  # with this score
    seed: int
    episodes: int = 1_000

    @property
    def description(self) -> dict[str, Any]:
        """Entry in the description of a policy."""
        return {"episodes": self.episodes, "seed": self.seed, "target_score": self.score}


@dataclass(frozen=True)
class PolicyKind:
    """One kind of behavior policy.

    Recipes refer to it by ``name``; descriptions of policies in files have one of ``stored`` as ``kind``.
    """

    name: str
    card: str  # description of the policy on data set cards
    limitation: str = ""  # of the data, for data set cards
    stored: ClassVar[tuple[str, ...]]
    is_trained: ClassVar[bool] = False
    is_user_code: ClassVar[bool] = False  # not stored in files, and only run if the user names it
    requirement: ClassVar[str] = ""  # of the supported environments, for the error about others

    def supports(self, backend: Backend) -> bool:
        """Whether the policy can act in an environment."""
        return True

    def stored_in(self, backend: Backend) -> str:
        """The ``kind`` of its descriptions in an environment."""
        return self.stored[0]

    def describe(self, policy: str, backend: Backend, calibration: Calibration | None) -> dict[str, Any]:
        """Description of a policy; that of a trained policy comes from its training run.

        Args:
            policy: name of the policy, or MODULE:FACTORY.
            backend: the environment.
            calibration: of a heuristic; ignored for other kinds.

        Raises:
            InputError: if the policy does not exist.
        """
        return {"kind": self.stored_in(backend)}

    def compile(self, description: Description, weights: Weights) -> CompiledPolicy:
        """Compiled policy for this package's environments.

        Raises:
            InputError: if it is a network for other environments.
        """
        raise NotImplementedError

    def batch_policy(self, description: Description, weights: Weights) -> Policy | CompiledPolicy:
        """Policy for any environment: in Python on batches of observations, or compiled."""
        return self.compile(description, weights)

    def log_probs(self, description: Description, weights: Weights, backend: Backend, rows: Rows) -> Rows:
        """Log-probabilities of a file's rows and, if raw actions are recorded, the executed actions.

        Args:
            description: of the policy.
            weights: of the policy.
            backend: the environment.
            rows: N rows by name, each (N, …).

        Raises:
            InputError: if the actions have no log-probabilities, or the rows do not fit the policy.
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
        """Description of the heuristic, calibrated to the target score on the calibration's episodes.

        Balancing is proportional control K θ with the gain K found by bisection; the discrete expert, which
        needs no calibration, chooses the sign of K θ + D θ̇. Swing-up is energy shaping with a
        linear-quadratic regulator and uniform action noise, whose width is found by bisection.
        """
        system = backend.system
        assert system is not None
        assert calibration is not None
        params, continuous, kind = system.params, system.continuous, {"kind": self.stored_in(backend)}
        target = calibration.mean_return, calibration.episodes, calibration.seed
        if system.task.controller == "swing_up":
            strength = heuristic.calibrate(system, lambda strength: swing_up(params, 1.0 / strength), *target)
            law = {"noise": 1.0 / strength, "params": params.as_mapping()}
        elif calibration.score >= MIN_SIGN_SCORE and not continuous:
            return {**kind, "gain": 1.0, "damping": heuristic.DAMPING_RATIO, "continuous": continuous}
        else:
            gain = heuristic.calibrate(system, lambda gain: heuristic.proportional(gain, continuous), *target)
            law = {"gain": gain, "damping": 0.0, "continuous": continuous}
        return {**kind, **law, "calibration": calibration.description}

    def compile(self, description: Description, weights: Weights) -> CompiledPolicy:
        if description["kind"] == "swing_up":
            return swing_up(Params.from_mapping(description["params"]), float(description["noise"]))
        return heuristic.proportional(
            float(description["gain"]), bool(description["continuous"]), float(description["damping"])
        )

    def log_probs(self, description: Description, weights: Weights, backend: Backend, rows: Rows) -> Rows:
        count, system, observations = len(rows["actions"]), backend.system, rows["observations"]
        if system is None or observations.shape != (count, system.task.observation_size):
            raise InputError("the shape of the observations is not that of the environment's")
        actions = np.ascontiguousarray(rows["actions"], np.float32).reshape(count)  # (N,) or (N, 1) -> (N,)
        unused = np.empty(count, np.float32)
        policy = self.compile(description, weights)
        infos = policy.infos(np.asarray(observations, np.float32), actions, unused, unused)
        if "action_log_probs" not in infos:
            raise InputError(f"the actions of a {description['kind']} policy have no log-probabilities")
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
        actions = rows["actions"] if raw is None else raw
        found = {LOG_PROBS: log_probs(description, weights, rows["observations"], actions)}
        return found if raw is None else {**found, "actions": executed(description, raw)}


class _TrainedContinuous(_Trained):
    requirement = "needs continuous actions"

    def supports(self, backend: Backend) -> bool:
        return isinstance(backend.action_space, Box)


class _UserSupplied(PolicyKind):
    stored = ("factory",)
    is_user_code = True

    def describe(self, policy: str, backend: Backend, calibration: Calibration | None) -> dict[str, Any]:
        return {**factory_description(policy)}


ONE_SEED = "The agent comes from a single training seed; other seeds give other agents of the same tier."
RANDOM = _Random("random", "uniformly random actions")
HEURISTIC = _Heuristic(
    "heuristic",
    "a feedback controller, calibrated to the score of the tier",
    "The policy is a fixed control law, and visits few states far from the center of the track.",
)
PPO = _Trained("ppo", "an agent that Stable-Baselines3 trained with Proximal Policy Optimization", ONE_SEED)
SAC = _TrainedContinuous("sac", "an agent that Stable-Baselines3 trained with Soft Actor-Critic", ONE_SEED)
USER_SUPPLIED = _UserSupplied("MODULE:FACTORY", "a user-supplied policy")
KINDS: Mapping[str, PolicyKind] = {kind.name: kind for kind in (RANDOM, HEURISTIC, PPO, SAC)}
# PPO and SAC share the kind "network": their descriptions have the same form.
STORED = {stored: kind for kind in (*KINDS.values(), USER_SUPPLIED) for stored in kind.stored}


def kind_of(policy: str) -> PolicyKind:
    """Kind of a policy by its name in recipes.

    Raises:
        InputError: if the policy is unknown.
    """
    if ":" in policy:
        return USER_SUPPLIED
    if policy not in KINDS:
        raise unknown("policy", policy, KINDS, " or MODULE:FACTORY")
    return KINDS[policy]


@dataclass(frozen=True)
class Behavior:
    """Behavior policy of a data set or of one of its parts.

    ``description`` (plain JSON values) and ``weights`` are stored in the file; ``from_description`` restores
    the policy from them.
    """

    description: Mapping[str, Any]
    weights: Weights = field(default_factory=dict)

    @property
    def kind(self) -> PolicyKind:
        """Kind of the policy."""
        return STORED[str(self.description["kind"])]

    @property
    def policy(self) -> CompiledPolicy:
        """Compiled policy, see ``PolicyKind.compile``."""
        return self.kind.compile(self.description, self.weights)

    @property
    def batch_policy(self) -> Policy | CompiledPolicy:
        """Policy for any environment, see ``PolicyKind.batch_policy``."""
        return self.kind.batch_policy(self.description, self.weights)

    def source(self, backend: Backend) -> PolicySource:
        """Source of the policy for each thread or process."""
        if not self.kind.is_user_code:
            return self
        place, sha256 = (str(self.description[key]) for key in ("place", "source_sha256"))
        return partial(policy_from_factory, place, backend, sha256)


def from_description(description: Mapping[str, Any], weights: Weights) -> Behavior:
    """Restore a behavior policy from its description and weights in a file.

    Raises:
        InputError: if the kind is unknown, or a required number or weight is missing or has another shape.
    """
    stored, known = description.get("kind"), [name for name in STORED if not STORED[name].is_user_code]
    if stored not in known:
        raise InputError(f"Expected a policy kind out of {', '.join(known)}, got {stored!r}.")
    behavior = Behavior(dict(description), dict(weights))
    try:
        _ = behavior.batch_policy  # not .policy: the network may belong to another environment
    except InputError:
        raise
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"The description of the {stored} policy is incomplete: {error!r}.") from error
    return behavior
