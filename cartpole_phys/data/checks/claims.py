"""Consistency of a file's attributes with its recipe and with each other.

Every attribute that a build writes is in exactly one of the tables below.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cartpole_phys.data.building.metadata import implied_by, implied_by_part
from cartpole_phys.data.checks.base import CannotTell, GateFailure, described_parts
from cartpole_phys.data.declared_env import declared_env
from cartpole_phys.data.hashing import ARRAY_HASHES, METADATA_HASH, metadata_sha256
from cartpole_phys.data.hdf5.d4rl_v2 import v2_metadata
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.recipe import Recipe, check_name, recipe_from
from cartpole_phys.data.release.identity import RELEASE, arrays_sha256, compared
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
}  # by the gate that proves it
FREE_TEXT = {
    "versions": "what other packages made the file; rebuild names what differs now",
    "git_commit": "which commit made the file; the versions hold a hash of the kernels",
}
OF_THE_ROWS = ("rows", "sha256", "source", "collection_seed", "command")  # of a part, besides its policy


@dataclass(frozen=True)
class Claims:
    """A file's header with the recipes that it states."""

    header: Header
    recipe: Recipe  # of this file
    whole: Recipe  # of the set that it is a shard of; else the same
    number: int  # which of the sets of its recipe, if they differ in their episodes alone

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The attributes."""
        return self.header.metadata

    @property
    def parts(self) -> list[tuple[Recipe, Mapping[str, Any]]]:
        """The recipe of each part, and what the file says of it.

        Raises:
            GateFailure: if there are more or fewer parts.
            CannotTell: if they are not described.
        """
        described, expected = described_parts(self.header), self.recipe.parts
        require_equal("the number of parts", len(described), len(expected))
        return list(zip(expected, described, strict=True))


def claims_of(header: Header) -> Claims:
    """What a file states, its recipes understood.

    Raises:
        GateFailure: if a shard is not one of its set.
        CannotTell: if there is no recipe that can be built here.
    """
    recipe, place = _recipe(header.metadata.get("recipe")), header.metadata.get("shard")
    if place is None:
        return Claims(header, recipe, recipe, 0)
    within = place.get(WHOLE) if isinstance(place, Mapping) else None
    whole = _recipe(within.get("recipe") if isinstance(within, Mapping) else None)
    number = place["number"] if isinstance(place, Mapping) and "number" in place else None
    if whole.shard_steps is None or not is_integer(number) or not 0 <= number < whole.shard_count:
        raise GateFailure(f"there is no shard {number!r:.80} in the set of the recipe that the file states")
    _, number_in_part, expected = whole.shard(number)
    require_equal("the recipe of the shard", recipe.as_dict(), expected.as_dict())
    return Claims(header, recipe, whole, number_in_part)


def require_agreement(claims: Claims) -> None:
    """Compare every attribute with what it has to agree with.

    Raises:
        GateFailure: if one contradicts another, or is not known.
        CannotTell: if what is needed for that is missing.
    """
    known = {*IMPLIED, *COMPARED, *OTHER_GATES, *FREE_TEXT}
    unknown = sorted(set(claims.metadata) - known)
    if unknown:
        raise GateFailure(f"the attribute {unknown[0]!r:.80} is not one that a build writes")
    implied = implied_by(claims.recipe)
    for name in IMPLIED:
        require_equal(name, claims.metadata.get(name), implied[name])
    for compare in COMPARED.values():
        compare(claims)
    _require_v2_metadata(claims)


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
        raise CannotTell(str(error)) from error


def _recipe_fields(claims: Claims) -> None:
    """A recipe reads as it was written: names in full, and nothing that is not meant."""
    stated = claims.metadata["recipe"]
    fields = claims.recipe.as_dict()  # a file may be older than some of them, which it leaves out
    require_equal("recipe", stated, {name: fields[name] for name in stated})


def _dataset_name(claims: Claims) -> None:
    try:
        check_name(str(claims.metadata.get("dataset_name")), claims.whole)
    except InputError as error:
        raise GateFailure(f"dataset_name: {error}") from error


def _command(claims: Claims) -> None:
    require_equal("command", claims.metadata.get("command"), claims.whole.command)


def _shard(claims: Claims) -> None:
    """Where a shard stands in its set, and that its behavior is the one that it names."""
    place = claims.metadata.get("shard")
    if place is None:
        return
    (_, part), weights = claims.parts[0], claims.header.weights.get("0", {})
    behavior = {name: value for name, value in part.items() if name not in OF_THE_ROWS}
    expected = {
        "set": claims.metadata.get("dataset_name"),
        "number": place["number"],
        "count": claims.whole.shard_count,
        WHOLE: {"tier": claims.whole.tier, "recipe": place[WHOLE]["recipe"]},
        "number_in_part": claims.number,
        "behaviour_sha256": metadata_sha256(behavior, {"0": weights}),
    }
    require_equal("shard", place, expected)


def _release(claims: Claims) -> None:
    """The comparison with the released set of this name; with another release, whether it adds up."""
    stated, hashes = claims.metadata.get(RELEASE), claims.metadata.get(ARRAY_HASHES)
    if stated is None:
        return
    if not isinstance(hashes, Mapping):
        raise CannotTell("the file has no hashes")
    expected = compared(str(claims.metadata.get("dataset_name")), hashes).get(RELEASE)
    if expected is not None and isinstance(stated, Mapping) and stated.get("version") != expected["version"]:
        expected = {**stated, "equal": stated.get("arrays_sha256") == arrays_sha256(hashes)}
    require_equal("release", stated, expected)


def _references(claims: Claims) -> None:
    """The package's own; else measured by a training run, whose best agent the file does not hold."""
    found, own = claims.metadata.get("references"), all_references().get(claims.recipe.env_id)
    if own is not None or not claims.recipe.kind.is_trained:
        require_equal("references", found, own or {})
    elif not are_references(found):
        raise GateFailure("references are not two mean returns, ref_min below ref_max")
    else:
        for end in ("ref_min", "ref_max"):
            stated = {name: found[end].get(name) for name in ("episodes", "seed")}
            require_equal(f"references.{end}", stated, claims.metadata.get("evaluation"))


def _parts(claims: Claims) -> None:
    """Who acted in each part, and with which seeds; that it did so is for the rows to say."""
    parts = claims.parts
    for number, (recipe, part) in enumerate(parts):
        what = f"part {number}: "
        for name, value in implied_by_part(recipe, claims.number).items():
            require_equal(what + name, part.get(name), value)
        if recipe.steps is not None:
            require_equal(what + "rows", part["rows"], recipe.steps)
        if len(parts) == 1:  # those of several are compared by the gate of the parts
            require_equal(what + "sha256", part.get("sha256"), {})
        require_equal(what + "kind", part.get("kind"), recipe.kind.stored_in(recipe.backend))
        _KINDS.get(recipe.kind, lambda *_: None)(what, recipe, part)
    networks = {str(i) for i, (recipe, _) in enumerate(parts) if recipe.kind.is_trained}
    require_equal("the parts with weights", sorted(claims.header.weights), sorted(networks))


def _require_v2_metadata(claims: Claims) -> None:
    """D4RL's own groups hold what the attributes hold, and are there only where the recipe has them."""
    found = claims.header.v2_metadata
    expected: Mapping[str, Any] = {}
    if claims.recipe.d4rl_v2_metadata:
        try:
            expected = v2_metadata(claims.metadata, claims.header.weights)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise CannotTell(f"the metadata describe no policy: {error_summary(error)}") from error
    for name in sorted({*found, *expected}):
        if not _are_equal(found.get(name), expected.get(name)):
            raise GateFailure(f"metadata/{name:.80} of D4RL's groups is not what the attributes mean")


def _are_equal(found: Any, expected: Any) -> bool:
    """Whether both are there, of the same type, shape and bits."""
    if found is None or expected is None:
        return False
    expected = np.asarray(expected)
    same_kind = (found.dtype, found.shape) == (expected.dtype, expected.shape)
    return same_kind and found.tobytes() == expected.tobytes()


def _heuristic(what: str, recipe: Recipe, part: Mapping[str, Any]) -> None:
    """The calibration that found its strength, which the rows and the score depend on."""
    calibration = TIERS[recipe.tier].calibration(recipe)
    if "calibration" in part:
        require_equal(what + "calibration", part["calibration"], calibration and calibration.stated)
    if "params" in part:
        require_equal(what + "params", part["params"], implied_by(recipe)["params"])


def _network(what: str, recipe: Recipe, part: Mapping[str, Any]) -> None:
    """The training that it is a checkpoint of; which one it is, only training again can tell."""
    training = part.get("training")
    if not isinstance(training, Mapping):
        raise GateFailure(f"{what}expected how its agent was trained, got {training!r:.80}")
    for name in ("env_id", "env_kwargs", "seed", "deterministic"):
        require_equal(f"{what}training.{name}", training.get(name), getattr(recipe, name))
    require_equal(what + "training.algorithm", training.get("algorithm"), recipe.policy)
    require_equal(what + "algorithm", part.get("algorithm"), recipe.policy)
    require_equal(what + "deterministic", part.get("deterministic"), recipe.deterministic)
    digest = hashlib.sha256(json.dumps(training, sort_keys=True).encode()).hexdigest()
    require_equal(what + "training_sha256", part.get("training_sha256"), digest)


def _factory(what: str, recipe: Recipe, part: Mapping[str, Any]) -> None:
    require_equal(what + "place", part.get("place"), recipe.policy)


_KINDS: Mapping[PolicyKind, Callable[[str, Recipe, Mapping[str, Any]], None]] = {
    HEURISTIC: _heuristic,
    PPO: _network,
    SAC: _network,
    USER_SUPPLIED: _factory,
}
COMPARED: Mapping[str, Callable[[Claims], None]] = {
    "recipe": _recipe_fields,
    "dataset_name": _dataset_name,
    "command": _command,
    "parts": _parts,
    "shard": _shard,
    "references": _references,
    RELEASE: _release,
    "summary": lambda claims: None,  # compared with the rows, after the last of them
}
