"""Policies as people have them, behind this package's ``Policy`` protocol.

None of them draws from a batch's generator, so that each must act deterministically.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cartpole_phys.errors import InputError, one_line
from cartpole_phys.memory import FloatArray
from cartpole_phys.rollouts.policy import ActionBatch, Array, CompiledPolicy, Policy

KINDS = (
    "a policy (a CompiledPolicy, an object with the methods begin and act, one with predict as "
    "Stable-Baselines3's models, or a function from observations to actions)"
)


class PredictPolicy:
    """A model with ``predict(observations, deterministic=True)`` that returns actions and a state.

    So do Stable-Baselines3's models. Where the state is not None the model is recurrent, and is given it
    again with the next observations.
    """

    def __init__(self, model: Any) -> None:
        """Act as the model does."""
        self._model = model
        self._memory: dict[str, Any] = {}

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Forget the state of earlier episodes."""
        self._memory = {}

    def act(self, observations: Array, rewards: FloatArray) -> ActionBatch:
        """The model's actions for observations (n, obs)."""
        actions, state = self._model.predict(observations, deterministic=True, **self._memory)
        if state is not None:
            self._memory = {"state": state, "episode_start": np.zeros(len(observations), np.bool_)}
        return ActionBatch(np.asarray(actions), {})


class FunctionPolicy:
    """A function from observations (n, obs) to actions (n, act) or (n,)."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        """Act as the function says."""
        self._function = function

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Nothing to forget."""

    def act(self, observations: Array, rewards: FloatArray) -> ActionBatch:
        """The function's actions for observations (n, obs).

        Raises:
            InputError: if the function raises an exception.
        """
        try:
            actions = self._function(observations)
        except Exception as error:  # it is not this package's code, so it may raise anything
            raise InputError(
                "Expected a function that takes a batch of observations, here of shape "
                f"{observations.shape}, and returns an action for each row, but it raised {one_line(error)}."
            ) from error
        return ActionBatch(np.asarray(actions), {})


def as_policy(given: Any) -> Policy | CompiledPolicy:
    """The policy behind anything that can act: see ``KINDS``.

    Raises:
        InputError: if it is none of them.
    """
    policy: Policy | CompiledPolicy
    if isinstance(given, type):
        raise InputError(f"Expected {KINDS}, got the class {given.__name__}; make an object of it.")
    if isinstance(given, CompiledPolicy) or _has(given, "begin", "act"):
        policy = given
    elif _has(given, "predict"):
        policy = PredictPolicy(given)
    elif callable(given):
        policy = FunctionPolicy(given)
    else:
        raise InputError(f"Expected {KINDS}, got {given!r:.60}.")
    return policy


def _has(given: Any, *names: str) -> bool:
    """Whether something has methods of these names."""
    return all(callable(getattr(given, name, None)) for name in names)
