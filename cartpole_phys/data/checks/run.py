"""Validation of data sets: runs all gates in one pass; every build validates the file that it wrote."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, overload

from cartpole_phys.data.checks.actions import Actions
from cartpole_phys.data.checks.base import CannotTell, Gate, GateFailure, NotApplicable, NotProven
from cartpole_phys.data.checks.composition import Parts
from cartpole_phys.data.checks.continuity import Continuity
from cartpole_phys.data.checks.finite import Finite
from cartpole_phys.data.checks.flags import Flags
from cartpole_phys.data.checks.hashes import Hashes
from cartpole_phys.data.checks.log_probs import LogProbs
from cartpole_phys.data.checks.metadata import Metadata
from cartpole_phys.data.checks.replay import IndependentReplay, Replay
from cartpole_phys.data.checks.schema import Schema
from cartpole_phys.data.checks.shards import shards_verdict
from cartpole_phys.data.checks.tier import TierGate
from cartpole_phys.data.hashing import METADATA_HASH
from cartpole_phys.data.hdf5.blocks import Block, blocks
from cartpole_phys.data.hdf5.file import THREADS, Header, Reader
from cartpole_phys.data.shards import MANIFEST, joined_sha256, read_manifest, verified_shards
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.utils.errors import printable
from cartpole_phys.utils.progress import Progress, Silent

PASSED, FAILED = "passed", "failed"
NOT_APPLICABLE = "not applicable"  # the file makes no claim that the gate could check
NOT_PROVEN = "not proven"  # would need user-supplied code, which a check does not run


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
        """The result of a gate by its name or position, or those of a slice.

        Raises:
            IndexError: if there is no such position.
            KeyError: if there is no gate of that name.
        """
        if not isinstance(index, str):
            return self.results[index]
        by_name = {result.gate: result for result in self.results}
        if index not in by_name:
            raise KeyError(f"Expected one of {', '.join(by_name)}, got {index!r}.")
        return by_name[index]

    def __repr__(self) -> str:
        """The overall result, and one line per gate."""
        verdict = f"Validation failed: {', '.join(self.failed)}" if self.failed else "Validation passed"
        return "\n".join([verdict, *map(str, self.results)])


class _Asked:
    """A gate that is asked until it has said something."""

    def __init__(self, kind: type[Gate], header: Header) -> None:
        self._kind, self._has_recipe = kind, header.has_recipe
        self.result: GateResult | None = None
        self._ask(lambda: setattr(self, "_gate", kind(header)))

    def see(self, block: Block) -> None:
        """Show it the next rows, unless it has spoken already."""
        if self.result is None:
            self._ask(lambda: self._gate.see(block))

    def conclude(self) -> GateResult:
        """Its verdict."""
        if self.result is None:
            self._ask(lambda: self._say(PASSED, self._gate.verdict()))
        assert self.result is not None
        return self.result

    def _ask(self, question: Callable[[], None]) -> None:
        try:
            question()
        except GateFailure as failure:
            self._say(FAILED, str(failure))
        except NotApplicable as reason:
            self._say(NOT_APPLICABLE, str(reason))
        except NotProven as reason:
            self._say(NOT_PROVEN, str(reason))
        except CannotTell as reason:
            self._say(*unanswered(self._has_recipe, reason))

    def _say(self, status: str, detail: str) -> None:
        self.result = GateResult(self._kind.name, status, detail)

    _gate: Gate


def check(path: str | os.PathLike[str], independent: bool = False) -> CheckReport:
    """Validate a data set: run every gate on its metadata and on all of its rows.

    ``check(path).passed`` is true if no gate fails and none is left unproven.

    Args:
        path: a D4RL HDF5 file, or a folder of shards; each shard is checked, and that none is missing.
        independent: replay the steps in the scalar environment instead of the compiled batch.

    Raises:
        InputError: if the data set cannot be read at all.
    """
    return check_with(path, Silent(), independent)


def check_with(path: str | os.PathLike[str], progress: Progress, independent: bool = False) -> CheckReport:
    """``check`` with progress reports."""
    place = Path(path)
    check_place = _check_shards if place.is_dir() else check_file
    return CheckReport(tuple(check_place(place, progress, independent)))


def _check_shards(place: Path, progress: Progress, independent: bool) -> list[GateResult]:
    """Run the gates on each shard of a folder, and on all together."""
    manifest, shards, hashes, places, rows = read_manifest(place / MANIFEST), [], [], [], 0
    has_recipe = False
    progress.stage("checking")
    for reader in verified_shards(place):
        header = reader.header
        shards.append(run_gates(reader, Silent(), independent))
        hashes.append(str(header.metadata.get(METADATA_HASH)))
        places.append(header.metadata.get("shard"))
        rows += header.rows
        has_recipe = has_recipe or header.has_recipe
        progress.shards(len(shards), len(manifest.shards))
    together = [_worst(results) for results in zip(*shards, strict=True)]
    whole = _wholeness(places, rows, has_recipe)
    if whole.status != NOT_APPLICABLE:
        together = [whole if one.gate == whole.gate and one.status != FAILED else one for one in together]
    if joined_sha256(hashes) != manifest.metadata_sha256:
        mixed = GateResult(Hashes.name, FAILED, "checksum mismatch: the manifest is of other shards")
        together = [mixed if result.gate == mixed.gate else result for result in together]
    return together


def unanswered(has_recipe: bool, reason: CannotTell) -> tuple[str, str]:
    """Status and detail of a gate without its input: a failure if the file has a recipe."""
    return (FAILED, f"not proven: {reason}") if has_recipe else (NOT_APPLICABLE, str(reason))


def _wholeness(places: Sequence[Any], rows: int, has_recipe: bool) -> GateResult:
    """What the gate of the parts says of all shards together."""
    try:
        return GateResult(Parts.name, PASSED, shards_verdict(places, rows))
    except GateFailure as failure:
        return GateResult(Parts.name, FAILED, str(failure))
    except CannotTell as reason:
        return GateResult(Parts.name, *unanswered(has_recipe, reason))


def check_file(path: Path, progress: Progress, independent: bool = False) -> list[GateResult]:
    """Run the gates on one file.

    Raises:
        InputError: if it cannot be read at all.
    """
    with Reader(path) as reader:
        progress.stage("checking")
        return run_gates(reader, progress, independent)


def gates(independent: bool = False) -> tuple[type[Gate], ...]:
    """All gates in their order, with those that tiers bring; see ``check``."""
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
        asked = [_Asked(gate, reader.header) for gate in gates(independent)]
        for block in blocks(reader):
            list(pool.map(_Asked.see, asked, repeat(block)))
            progress.rows(block.start + block.rows, reader.header.rows)
        return [one.conclude() for one in asked]  # in one thread: glibc keeps what each further one had


def _worst(results: Sequence[GateResult]) -> GateResult:
    """What one gate says of all shards: the worst, with the first shard that has it."""
    for status in (FAILED, NOT_PROVEN, NOT_APPLICABLE):
        found = [(i, result) for i, result in enumerate(results) if result.status == status]
        if found and (status == FAILED or len(found) < len(results)):
            shard, result = found[0]
            return GateResult(result.gate, status, f"shard {shard}: {result.detail}")
    first, count = results[0], len(results)
    return GateResult(first.gate, first.status, f"{first.detail} in the first of {count} shards")
