"""Validation of data sets with all gates in one pass; every build validates its own file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import overload

from cartpole_phys.data.checks.actions import Actions
from cartpole_phys.data.checks.base import Gate, GateFailure, NotApplicable, NotProven, Unverifiable
from cartpole_phys.data.checks.composition import Parts
from cartpole_phys.data.checks.continuity import Continuity
from cartpole_phys.data.checks.finite import Finite
from cartpole_phys.data.checks.flags import Flags
from cartpole_phys.data.checks.hashes import Hashes
from cartpole_phys.data.checks.log_probs import LogProbs
from cartpole_phys.data.checks.metadata import Metadata
from cartpole_phys.data.checks.replay import IndependentReplay, Replay
from cartpole_phys.data.checks.schema import Schema
from cartpole_phys.data.checks.shards import check_shard_set
from cartpole_phys.data.checks.tier import TierGate
from cartpole_phys.data.hashing import METADATA_HASH
from cartpole_phys.data.hdf5.blocks import Block, blocks
from cartpole_phys.data.hdf5.file import THREADS, Header, Reader
from cartpole_phys.data.shards import MANIFEST, joined_sha256, read_manifest, verified_shards
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.utils.errors import printable
from cartpole_phys.utils.progress import Progress, Silent

PASSED, FAILED = "passed", "failed"
NOT_APPLICABLE = "not applicable"  # the file contains nothing that the gate checks
NOT_PROVEN = "not proven"  # the gate would have to run user-supplied code, which a check does not do


@dataclass(frozen=True)
class GateResult:
    """The result of one gate."""

    gate: str
    status: str  # PASSED, FAILED, NOT_PROVEN or NOT_APPLICABLE
    detail: str

    @property
    def mark(self) -> str:
        """The status as one character."""
        return {PASSED: "✓", FAILED: "✗", NOT_PROVEN: "?"}.get(self.status, "–")

    def __str__(self) -> str:
        """One line, safe to print."""
        return printable(f"{self.mark} {self.gate:<11} {self.status}: {self.detail}")


@dataclass(frozen=True, repr=False)
class CheckReport(Sequence[GateResult]):
    """The results of all gates, by index or by name, such as ``report["replay"]``."""

    results: tuple[GateResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate passes or does not apply."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """Names of the gates that failed or were not proven."""
        return [result.gate for result in self.results if result.status in (FAILED, NOT_PROVEN)]

    def __len__(self) -> int:
        """Number of gates."""
        return len(self.results)

    @overload
    def __getitem__(self, index: int | str) -> GateResult: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[GateResult, ...]: ...

    def __getitem__(self, index: int | str | slice) -> GateResult | tuple[GateResult, ...]:
        """The result of a gate by its name or position, or the results of a slice.

        Raises:
            IndexError: if there is no such position.
            KeyError: if there is no gate with that name.
        """
        if not isinstance(index, str):
            return self.results[index]
        by_name = {result.gate: result for result in self.results}
        if index not in by_name:
            raise KeyError(f"Expected one of {', '.join(by_name)}, got {index!r}.")
        return by_name[index]

    def __repr__(self) -> str:
        """The overall result, and one line per gate."""
        overall = f"Validation failed: {', '.join(self.failed)}" if self.failed else "Validation passed"
        return "\n".join([overall, *map(str, self.results)])


_STATUS = {GateFailure: FAILED, NotApplicable: NOT_APPLICABLE, NotProven: NOT_PROVEN}


def _result(gate: str, has_recipe: bool, step: Callable[[], str | None]) -> GateResult | None:
    """Run a step of a gate, and return the result if the step decides it; a returned detail means passed."""
    try:
        detail = step()
    except Unverifiable as reason:
        if has_recipe:
            return GateResult(gate, FAILED, f"not proven: {reason}")
        return GateResult(gate, NOT_APPLICABLE, str(reason))
    except tuple(_STATUS) as reason:
        return GateResult(gate, _STATUS[type(reason)], str(reason))
    return None if detail is None else GateResult(gate, PASSED, detail)


class GateRun:
    """Run of one gate on one file, block by block."""

    def __init__(self, gate: type[Gate], header: Header) -> None:
        self._gate_name, self._has_recipe = gate.name, header.has_recipe
        self._result = self._run(lambda: setattr(self, "_gate", gate(header)))

    def check_rows(self, block: Block) -> None:
        """Check the next block of rows, unless the result is known."""
        self._result = self._result or self._run(lambda: self._gate.check_rows(block))

    def finish(self) -> GateResult:
        """The result, after the last row."""
        result = self._result or self._run(lambda: self._gate.finish())
        assert result is not None
        return result

    def _run(self, step: Callable[[], str | None]) -> GateResult | None:
        return _result(self._gate_name, self._has_recipe, step)

    _gate: Gate


def check(path: str | os.PathLike[str], independent: bool = False) -> CheckReport:
    """Validate a data set: run every gate on its metadata and on all of its rows.

    ``check(path).passed`` is true if no gate fails and none is "not proven".

    Args:
        path: a D4RL HDF5 file, or a folder of shards, each of which is checked, as is their completeness.
        independent: replay the steps in the scalar environment instead of the compiled batch.

    Raises:
        InputError: if the data set cannot be read at all.
    """
    return check_with(path, Silent(), independent)


def check_with(path: str | os.PathLike[str], progress: Progress, independent: bool = False) -> CheckReport:
    """``check`` with progress reports."""
    check_path = _check_shards if Path(path).is_dir() else check_file
    return CheckReport(tuple(check_path(Path(path), progress, independent)))


def _check_shards(folder: Path, progress: Progress, independent: bool) -> list[GateResult]:
    """Run the gates on each shard of a folder, and combine their results."""
    manifest, results, headers = read_manifest(folder / MANIFEST), [], []
    progress.stage("checking")
    for reader in verified_shards(folder):
        results.append(run_gates(reader, Silent(), independent))
        headers.append(reader.header)
        progress.shards(len(results), len(manifest.shards))
    combined = [_worst(gate_results) for gate_results in zip(*results, strict=True)]
    shards, rows = [one.metadata.get("shard") for one in headers], sum(one.rows for one in headers)
    has_recipe = any(header.has_recipe for header in headers)
    complete = _result(Parts.name, has_recipe, lambda: check_shard_set(shards, rows))
    assert complete is not None
    if complete.status != NOT_APPLICABLE:
        combined = [complete if one.gate == Parts.name and one.status != FAILED else one for one in combined]
    hashes = (str(header.metadata.get(METADATA_HASH)) for header in headers)
    if joined_sha256(hashes) != manifest.metadata_sha256:
        mismatch = GateResult(Hashes.name, FAILED, "checksum mismatch: the manifest is of other shards")
        combined = [mismatch if result.gate == Hashes.name else result for result in combined]
    return combined


def check_file(path: Path, progress: Progress, independent: bool = False) -> list[GateResult]:
    """Run the gates on one file.

    Raises:
        InputError: if it cannot be read at all.
    """
    with Reader(path) as reader:
        progress.stage("checking")
        return run_gates(reader, progress, independent)


def gates(independent: bool = False) -> tuple[type[Gate], ...]:
    """All gates in their order, with those of single tiers; ``independent`` as in ``check``."""
    return (
        Schema,
        Flags,
        Continuity,
        IndependentReplay if independent else Replay,
        Actions,
        Finite,
        LogProbs,
        Hashes,
        Parts,
        TierGate,
        *(tier.gate for tier in TIERS.values() if tier.gate is not None),
        Metadata,
    )


def run_gates(reader: Reader, progress: Progress, independent: bool = False) -> list[GateResult]:
    """Run the gates on an open file."""
    with ThreadPoolExecutor(THREADS) as pool:
        runs = [GateRun(gate, reader.header) for gate in gates(independent)]
        for block in blocks(reader):
            list(pool.map(GateRun.check_rows, runs, repeat(block)))
            progress.rows(block.start + block.rows, reader.header.rows)
        return [run.finish() for run in runs]  # in one thread: glibc keeps the memory of each further thread


def _worst(results: Sequence[GateResult]) -> GateResult:
    """Combine the results of one gate on all shards: the worst, with the first shard that has it."""
    for status in (FAILED, NOT_PROVEN, NOT_APPLICABLE):
        found = [(i, result) for i, result in enumerate(results) if result.status == status]
        if found and (status == FAILED or len(found) < len(results)):
            shard, result = found[0]
            return GateResult(result.gate, status, f"shard {shard}: {result.detail}")
    first, count = results[0], len(results)
    return GateResult(first.gate, first.status, f"{first.detail} in the first of {count} shards")
