"""Gate ``log_probs``: actions and log-probabilities match the stored policy."""

from __future__ import annotations

from collections.abc import Mapping

from cartpole_phys.backends.base import different
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
from cartpole_phys.policies.behavior import LOG_PROBS, from_description
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array


class LogProbs(Gate):
    """Log-probabilities and actions, recomputed from weights and raw actions, agree bit for bit."""

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

    def _expected(self, number: int, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """Arrays that the policy of a part gives for these rows, by name."""
        part, weights = self._parts[number], self.header.weights.get(str(number), {})
        require_own_code(part)
        try:
            kind = from_description(part, weights).kind
            return kind.log_probs(part, weights, self._backend, arrays)
        except InputError as error:
            raise CannotTell(str(error)) from error

    def verdict(self) -> str:
        return f"{self._rows:,} recomputed bit for bit"
