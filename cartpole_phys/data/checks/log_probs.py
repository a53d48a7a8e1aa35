"""Are the actions, and their probabilities, what the stored policy gives?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cartpole_phys.backends.base import different
from cartpole_phys.backends.random_policy import UniformPolicy
from cartpole_phys.data.checks.base import (
    CannotTell,
    Gate,
    GateFailure,
    NotApplicable,
    declared_backend,
    first_row,
    need,
    require_own_code,
    stated_parts,
)
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.policies.behavior import from_description
from cartpole_phys.policies.network import executed, log_probs
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array

LOG_PROBS, RAW_ACTIONS = "infos/action_log_probs", "infos/raw_actions"


class LogProbs(Gate):
    """Log-probabilities and actions, recomputed from weights and raw actions, agree to the last bit."""

    name = "log_probs"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._parts = stated_parts(header)
        if LOG_PROBS not in header.arrays:
            raise NotApplicable("the file holds no log-probabilities")
        self._backend = declared_backend(header)
        self._rows = 0

    def see(self, block: Block) -> None:
        need(block, LOG_PROBS, "observations", "actions")
        first = 0
        for i, part in enumerate(self._parts):
            end = first + part["rows"]
            rows = block.between(first, end)
            if rows.rows:
                self._check(i, rows)
                self._rows += rows.rows
            first = end

    def _check(self, part: int, rows: Block) -> None:
        for name, expected in self._expected(part, rows.arrays).items():
            stored = rows.arrays[name]
            if (stored.dtype, stored.shape) != (expected.dtype, expected.shape):
                raise CannotTell(f"{name} are {stored.dtype} {stored.shape[1:]}, not {expected.dtype}")
            wrong = different(stored, expected)
            if wrong.any():
                row = rows.start + first_row(wrong)
                raise GateFailure(f"{name} of row {row} is not what its policy gives")

    def _expected(self, number: int, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What one part's policy gives on these rows, by name of the array."""
        part, weights = self._parts[number], self.header.weights.get(str(number), {})
        require_own_code(part)
        if part.get("kind") == "uniform":
            log_prob = UniformPolicy(self._backend.action_space).log_prob
            return {LOG_PROBS: np.full(len(arrays["actions"]), log_prob, np.float32)}
        observations, raw = arrays["observations"], arrays.get(RAW_ACTIONS)
        try:
            if part.get("kind") != "network":
                return {LOG_PROBS: self._of_law(part, arrays)}
            if raw is None:
                return {LOG_PROBS: log_probs(part, weights, observations, arrays["actions"])}
            again = log_probs(part, weights, observations, raw)
            return {LOG_PROBS: again, "actions": executed(part, raw)}
        except InputError as error:
            raise CannotTell(str(error)) from error

    def _of_law(self, part: Mapping[str, Any], arrays: Mapping[str, Array]) -> Array:
        """What a formula gives.

        Raises:
            InputError: if the part describes no policy.
            CannotTell: if its actions have no probability.
        """
        policy, rows = from_description(part, {}).policy, len(arrays["actions"])
        system, observations = self._backend.system, arrays["observations"]
        if system is None or observations.shape != (rows, system.task.observation_size):
            raise CannotTell("the observations are not those of the environment")
        actions = np.ascontiguousarray(arrays["actions"], np.float32).reshape(rows)  # (N,) or (N, 1) -> (N,)
        room = np.empty(rows, np.float32)
        infos = policy.infos(np.asarray(observations, np.float32), actions, room, room)
        if "action_log_probs" not in infos:
            raise CannotTell(f"the actions of a {part.get('kind')} policy have no probability")
        return infos["action_log_probs"]

    def verdict(self) -> str:
        return f"{self._rows:,} recomputed to the last bit"
