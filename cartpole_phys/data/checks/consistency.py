"""Consistency of a file's attributes with its recipe and with each other.

Every attribute that a build writes is in exactly one of the tables ``IMPLIED``, ``OTHER_GATES``,
``FREE_TEXT`` and ``COMPARED``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cartpole_phys.data.building.metadata import implied_by, implied_by_part
from cartpole_phys.data.checks.base import GateFailure, Unverifiable, described_parts
from cartpole_phys.data.declared_env import declared_env
from cartpole_phys.data.hashing import ARRAY_HASHES, METADATA_HASH, metadata_sha256
from cartpole_phys.data.hdf5.d4rl_v2 import v2_metadata
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.recipe import Recipe, check_name, recipe_from
from cartpole_phys.data.release.identity import RELEASE, arrays_sha256, release_attribute
from cartpole_phys.data.score import all_references, are_references
from cartpole_phys.data.shards import WHOLE
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.policies.behavior import HEURISTIC, PPO, SAC, USER_SUPPLIED, PolicyKind
from cartpole_phys.utils.errors import InputError, error_summary, is_integer

IMPLIED = (
    "schema_version", "env_id", "env_kwargs", "env_spec", "params", "algorithm", "tier", "evaluation",
)  # fmt: skip
OTHER_GATES = {
    "scores": "tier",
    ARRAY_HASHES: "hashes",
    METADATA_HASH: "hashes",
}  # with the gate that verifies each
FREE_TEXT = {
    "versions": "package versions of the build; rebuild names those that differ",
    "git_commit": "commit of the build; the versions contain a hash of the kernels",
}
ROW_FIELDS = ("rows", "sha256", "source", "collection_seed", "command")  # of a part, besides its policy


@dataclass(frozen=True)
class ParsedHeader:
    """A file's header with its parsed recipes."""

    header: Header
    recipe: Recipe  # of this file
    whole: Recipe  # of the data set of which the file is a shard; otherwise the same
    number: int  # of the shard in its part, which selects its episodes; otherwise 0

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The attributes."""
        return self.header.metadata

    @property
    def parts(self) -> list[tuple[Recipe, Mapping[str, Any]]]:
        """The recipe and the description of each part.

        Raises:
            GateFailure: if the number of parts differs from the recipe's.
            Unverifiable: if they are not described.
        """
        described, expected = described_parts(self.header), self.recipe.parts
        require_equal("the number of parts", len(described), len(expected))
        return list(zip(expected, described, strict=True))


def parse_header(header: Header) -> ParsedHeader:
    """Parse the recipes in a file's header.

    Raises:
        GateFailure: if the data set of a shard has no such shard.
        Unverifiable: if there is no recipe that this version can build.
    """
    recipe, place = _recipe(header.metadata.get("recipe")), header.metadata.get("shard")
    if place is None:
        return ParsedHeader(header, recipe, recipe, 0)
    within = place.get(WHOLE) if isinstance(place, Mapping) else None
    whole = _recipe(within.get("recipe") if isinstance(within, Mapping) else None)
    number = place["number"] if isinstance(place, Mapping) and "number" in place else None
    if whole.shard_steps is None or not is_integer(number) or not 0 <= number < whole.shard_count:
        raise GateFailure(f"the data set of the stated recipe has no shard {number!r:.80}")
    _, number_in_part, expected = whole.shard(number)
    require_equal("the recipe of the shard", recipe.as_dict(), expected.as_dict())
    return ParsedHeader(header, recipe, whole, number_in_part)


def require_consistency(parsed: ParsedHeader) -> None:
    """Compare every attribute with the recipe, the other attributes and the weights.

    Raises:
        GateFailure: if one contradicts another, or is unknown.
        Unverifiable: if a required attribute is missing.
    """
    known = {*IMPLIED, *COMPARED, *OTHER_GATES, *FREE_TEXT}
    unknown = sorted(set(parsed.metadata) - known)
    if unknown:
        raise GateFailure(f"unknown attribute {unknown[0]!r:.80}, which no build writes")
    implied = implied_by(parsed.recipe)
    for name in IMPLIED:
        require_equal(name, parsed.metadata.get(name), implied[name])
    for compare in COMPARED.values():
        compare(parsed)
    _require_v2_metadata(parsed)


def require_equal(what: str, found: Any, expected: Any) -> None:
    """Require two equal JSON values.

    Raises:
        GateFailure: if they differ.
    """
    if json.dumps(found, sort_keys=True) != json.dumps(expected, sort_keys=True):
        raise GateFailure(f"expected {what} {expected!r:.80} from the rest of the file, got {found!r:.80}")


def _recipe(fields: Any) -> Recipe:
    try:
        declared_env(fields if isinstance(fields, Mapping) else {})
        return recipe_from(fields)
    except InputError as error:
        raise Unverifiable(str(error)) from error


def _recipe_fields(parsed: ParsedHeader) -> None:
    """Compare the stored recipe with the parsed one, whose fields are normalized."""
    stated = parsed.metadata["recipe"]
    fields = parsed.recipe.as_dict()  # an older file lacks the fields that were added since
    require_equal("recipe", stated, {name: fields[name] for name in stated})


def _dataset_name(parsed: ParsedHeader) -> None:
    try:
        check_name(str(parsed.metadata.get("dataset_name")), parsed.whole)
    except InputError as error:
        raise GateFailure(f"dataset_name: {error}") from error


def _command(parsed: ParsedHeader) -> None:
    require_equal("command", parsed.metadata.get("command"), parsed.whole.command)


def _shard(parsed: ParsedHeader) -> None:
    """Compare a shard's position in its data set and the hash of its behavior policy."""
    place = parsed.metadata.get("shard")
    if place is None:
        return
    (_, part), weights = parsed.parts[0], parsed.header.weights.get("0", {})
    behavior = {name: value for name, value in part.items() if name not in ROW_FIELDS}
    expected = {
        "set": parsed.metadata.get("dataset_name"),
        "number": place["number"],
        "count": parsed.whole.shard_count,
        WHOLE: {"tier": parsed.whole.tier, "recipe": place[WHOLE]["recipe"]},
        "number_in_part": parsed.number,
        "behaviour_sha256": metadata_sha256(behavior, {"0": weights}),
    }
    require_equal("shard", place, expected)


def _release(parsed: ParsedHeader) -> None:
    """Repeat the comparison with the released set of this name; check its consistency for other releases."""
    stated, hashes = parsed.metadata.get(RELEASE), parsed.metadata.get(ARRAY_HASHES)
    if stated is None:
        return
    if not isinstance(hashes, Mapping):
        raise Unverifiable("the file has no hashes")
    expected = release_attribute(str(parsed.metadata.get("dataset_name")), hashes).get(RELEASE)
    if expected is not None and isinstance(stated, Mapping) and stated.get("version") != expected["version"]:
        expected = {**stated, "equal": stated.get("arrays_sha256") == arrays_sha256(hashes)}
    require_equal("release", stated, expected)


def _references(parsed: ParsedHeader) -> None:
    """Compare reference returns with the package's, or check the form of those from a training run.

    The latter belong to the run's best agent, which the file does not contain.
    """
    found, own = parsed.metadata.get("references"), all_references().get(parsed.recipe.env_id)
    if own is not None or not parsed.recipe.kind.is_trained:
        require_equal("references", found, own or {})
    elif not are_references(found):
        raise GateFailure(f"expected references as two mean returns, ref_min < ref_max, got {found!r:.80}")
    else:
        for end in ("ref_min", "ref_max"):
            stated = {name: found[end].get(name) for name in ("episodes", "seed")}
            require_equal(f"references.{end}", stated, parsed.metadata.get("evaluation"))


def _parts(parsed: ParsedHeader) -> None:
    """Compare each part's policy and seeds with its recipe; the rows themselves are checked later."""
    parts = parsed.parts
    for number, (recipe, part) in enumerate(parts):
        what = f"part {number}: "
        for name, value in implied_by_part(recipe, parsed.number).items():
            require_equal(what + name, part.get(name), value)
        if recipe.steps is not None:
            require_equal(what + "rows", part["rows"], recipe.steps)
        if len(parts) == 1:  # hashes of several parts are compared by the gate ``parts``
            require_equal(what + "sha256", part.get("sha256"), {})
        require_equal(what + "kind", part.get("kind"), recipe.kind.stored_in(recipe.backend))
        _COMPARED_BY_KIND.get(recipe.kind, lambda *_: None)(what, recipe, part)
    networks = {str(i) for i, (recipe, _) in enumerate(parts) if recipe.kind.is_trained}
    require_equal("the parts with weights", sorted(parsed.header.weights), sorted(networks))


def _require_v2_metadata(parsed: ParsedHeader) -> None:
    """Require that D4RL's own groups equal the attributes, and exist only if the recipe includes them."""
    found = parsed.header.v2_metadata
    expected: Mapping[str, Any] = {}
    if parsed.recipe.d4rl_v2_metadata:
        try:
            expected = v2_metadata(parsed.metadata, parsed.header.weights)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise Unverifiable(f"the metadata do not describe a policy: {error_summary(error)}") from error
    for name in sorted({*found, *expected}):
        if not _are_equal(found.get(name), expected.get(name)):
            raise GateFailure(f"metadata/{name:.80} of D4RL's groups differs from the attributes")


def _are_equal(found: Any, expected: Any) -> bool:
    """Whether both exist, with the same type, shape and bits."""
    if found is None or expected is None:
        return False
    expected = np.asarray(expected)
    same_kind = (found.dtype, found.shape) == (expected.dtype, expected.shape)
    return same_kind and found.tobytes() == expected.tobytes()


def _heuristic(what: str, recipe: Recipe, part: Mapping[str, Any]) -> None:
    """Compare the calibration of the heuristic's strength."""
    calibration = TIERS[recipe.tier].calibration(recipe)
    if "calibration" in part:
        require_equal(what + "calibration", part["calibration"], calibration and calibration.description)
    if "params" in part:
        require_equal(what + "params", part["params"], implied_by(recipe)["params"])


def _network(what: str, recipe: Recipe, part: Mapping[str, Any]) -> None:
    """Compare the training run of a checkpoint; only training again can verify which checkpoint it is."""
    training = part.get("training")
    if not isinstance(training, Mapping):
        raise GateFailure(f"{what}expected the training recipe of its agent, got {training!r:.80}")
    for name in ("env_id", "env_kwargs", "seed", "deterministic"):
        require_equal(f"{what}training.{name}", training.get(name), getattr(recipe, name))
    require_equal(what + "training.algorithm", training.get("algorithm"), recipe.policy)
    require_equal(what + "algorithm", part.get("algorithm"), recipe.policy)
    require_equal(what + "deterministic", part.get("deterministic"), recipe.deterministic)
    digest = hashlib.sha256(json.dumps(training, sort_keys=True).encode()).hexdigest()
    require_equal(what + "training_sha256", part.get("training_sha256"), digest)


def _factory(what: str, recipe: Recipe, part: Mapping[str, Any]) -> None:
    require_equal(what + "place", part.get("place"), recipe.policy)


_COMPARED_BY_KIND: Mapping[PolicyKind, Callable[[str, Recipe, Mapping[str, Any]], None]] = {
    HEURISTIC: _heuristic,
    PPO: _network,
    SAC: _network,
    USER_SUPPLIED: _factory,
}
COMPARED: Mapping[str, Callable[[ParsedHeader], None]] = {
    "recipe": _recipe_fields,
    "dataset_name": _dataset_name,
    "command": _command,
    "parts": _parts,
    "shard": _shard,
    "references": _references,
    RELEASE: _release,
    "summary": lambda parsed: None,  # compared with the rows, after the last one
}
