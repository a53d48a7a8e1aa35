"""Gate ``log_probs``: actions and log-probabilities match the stored policy."""

from __future__ import annotations

from collections.abc import Mapping

from cartpole_phys.backends.base import different
from cartpole_phys.data.checks.base import (
    Gate,
    GateFailure,
    NotApplicable,
    Unverifiable,
    complete_parts,
    declared_backend,
    first_row,
    refuse_user_code,
    require_arrays,
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
        self._parts = complete_parts(header)
        if LOG_PROBS not in header.arrays:
            raise NotApplicable("the file holds no log-probabilities")
        self._backend = declared_backend(header)
        self._rows = 0

    def check_rows(self, block: Block) -> None:
        require_arrays(block, LOG_PROBS, "observations", "actions")
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
                raise Unverifiable(
                    f"expected {name} as {expected.dtype} {expected.shape[1:]}, got {stored.dtype} "
                    f"{stored.shape[1:]}"
                )
            wrong = different(stored, expected)
            if wrong.any():
                row = rows.start + first_row(wrong)
                raise GateFailure(f"{name} of row {row} differs from the output of its policy")

    def _expected(self, number: int, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """Actions and log-probabilities from the policy of a part for these rows, by name."""
        part, weights = self._parts[number], self.header.weights.get(str(number), {})
        refuse_user_code(part)
        try:
            kind = from_description(part, weights).kind
            return kind.log_probs(part, weights, self._backend, arrays)
        except InputError as error:
            raise Unverifiable(str(error)) from error

    def finish(self) -> str:
        return f"{self._rows:,} recomputed bit for bit"
