"""The gates: each takes a file's contents and says what it found, or raises what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.data.d4rl import (
    ARRAY_HASHES,
    METADATA_HASH,
    REQUIRED,
    SCHEMA_VERSION,
    Contents,
    array_sha256,
    metadata_sha256,
)
from cartpole_phys.data.replay import replay
from cartpole_phys.data.score import mean_interval, normalized_score
from cartpole_phys.data.tiers import BANDS
from cartpole_phys.data.verdict import CannotTell, GateFailure, different, first_row, inside, need, system_of
from cartpole_phys.errors import InputError
from cartpole_phys.policies.behaviour import from_description
from cartpole_phys.rollout import play
from cartpole_phys.system import PARAM_NAMES, CartPole

Array = npt.NDArray[Any]

METADATA_KEYS = ("schema_version", "dataset_name", "env_id", "env_kwargs", "parts", "recipe", "evaluation")


def expected_schema(system: CartPole) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and trailing shape of every array that a file of ours must hold."""
    actions = ("<f4", (1,)) if system.continuous else ("<i8", ())
    size = system.task.observation_size
    extra: dict[str, tuple[str, tuple[int, ...]]] = {}
    if system.randomize:
        extra["infos/params"] = ("<f8", (len(PARAM_NAMES),))
    if system.noisy:
        extra["infos/noise_key"] = ("<u8", (2,))
    return {
        "observations": ("<f4", (size,)),
        "next_observations": ("<f4", (size,)),
        "actions": actions,
        "rewards": ("<f4", ()),
        "terminals": ("|b1", ()),
        "timeouts": ("|b1", ()),
        "infos/qpos": ("<f8", (2,)),
        "infos/qvel": ("<f8", (2,)),
        "infos/push": ("<f8", ()),
        "infos/collection_cut": ("|b1", ()),
        **extra,
    }


def schema(contents: Contents) -> str:
    """Every array and every piece of metadata is there, with the right type and shape."""
    missing = [key for key in METADATA_KEYS if key not in contents.metadata]
    absent = [name for name in REQUIRED if name not in contents.arrays]
    if absent:
        raise GateFailure(f"expected the array {absent[0]}, there is none")
    if missing:
        raise GateFailure(f"expected the attribute {missing[0]}, there is none")
    if contents.metadata["schema_version"] != SCHEMA_VERSION:
        raise GateFailure(f"expected schema {SCHEMA_VERSION}, got {contents.metadata['schema_version']}")
    rows = len(contents.arrays["rewards"])
    expected = expected_schema(system_of(contents))
    for name, (dtype, trailing) in expected.items():
        array = contents.arrays.get(name)
        got = None if array is None else (array.dtype.str, array.shape)
        if got != (dtype, (rows, *trailing)):
            raise GateFailure(f"expected {name} as {dtype} {(rows, *trailing)}, got {got}")
    for name, array in contents.arrays.items():
        if (not name.startswith("infos/") and name not in expected) or array.ndim == 0 or len(array) != rows:
            raise GateFailure(f"expected only known arrays of {rows} rows, got {name} of shape {array.shape}")
    return f"{len(contents.arrays)} arrays of {rows:,} rows"


def flags(contents: Contents) -> str:
    """Flags exclude each other, the last row has one, and time limits come when time is up."""
    terminals, timeouts = (array.astype(np.bool_) for array in need(contents, "terminals", "timeouts"))
    if not len(terminals):
        raise GateFailure("expected at least one row")
    both = terminals & timeouts
    if both.any():
        raise GateFailure(f"row {first_row(both)} is both terminal and timeout")
    ends = np.flatnonzero(terminals | timeouts)
    if not len(ends) or ends[-1] != len(terminals) - 1:
        raise GateFailure("the last row has no flag")
    if "infos/collection_cut" in contents.arrays:
        _check_limits(contents, ends, timeouts)
    return f"{len(ends):,} episodes, {int(terminals.sum()):,} terminal, {int(timeouts.sum()):,} timeouts"


def _check_limits(contents: Contents, ends: Array, timeouts: Array) -> None:
    (cuts,) = need(contents, "infos/collection_cut")
    limit = system_of(contents).task.max_episode_steps
    lengths = np.diff(np.concatenate([[-1], ends]))
    if (lengths > limit).any():
        raise GateFailure(f"episode {first_row(lengths > limit)} is longer than the limit of {limit} steps")
    early = timeouts[ends] & ~cuts[ends] & (lengths < limit)
    if early.any():
        raise GateFailure(f"episode {first_row(early)} times out after {lengths[early][0]} of {limit} steps")
    if (cuts & ~timeouts).any():
        raise GateFailure(f"row {first_row(cuts & ~timeouts)} is a cut but no timeout")


def continuity(contents: Contents) -> str:
    """Inside an episode, each next observation is the following row's observation."""
    observations, following = need(contents, "observations", "next_observations")
    if observations.dtype != following.dtype or observations.shape != following.shape:
        raise CannotTell("observations and next observations differ in type or shape")
    broken = inside(contents) & different(observations[1:], following[:-1])
    if broken.any():
        raise GateFailure(f"the next observation of row {first_row(broken)} is not the observation after it")
    return f"{int(inside(contents).sum()):,} transitions inside episodes"


def actions(contents: Contents) -> str:
    """Every action lies in the action space."""
    (given,) = need(contents, "actions")
    system = system_of(contents)
    outside = np.abs(given) > 1 if system.continuous else (given != 0) & (given != 1)
    if outside.any():
        row = first_row(outside.reshape(len(given), -1).any(axis=1))
        raise GateFailure(f"the action of row {row} is {given[row]}, outside the action space")
    return "all in [-1, 1]" if system.continuous else "all 0 or 1"


def finite(contents: Contents) -> str:
    """No number is NaN or infinite."""
    for name, array in contents.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
            raise GateFailure(f"row {first_row(bad)} of {name} holds a NaN or an infinity")
    return "no NaN, no infinity"


def hashes(contents: Contents) -> str:
    """Every array, and the metadata, have the hash that the file states."""
    stated = contents.metadata.get(ARRAY_HASHES)
    if not isinstance(stated, Mapping) or METADATA_HASH not in contents.metadata:
        raise CannotTell("the file states no hashes")
    if set(stated) != set(contents.arrays):
        raise GateFailure(f"hashes are stated for other arrays: {sorted(set(stated) ^ set(contents.arrays))}")
    for name, array in contents.arrays.items():
        if array_sha256(array) != stated[name]:
            raise GateFailure(f"{name} is not what was written")
    if metadata_sha256(contents.metadata, contents.weights) != contents.metadata[METADATA_HASH]:
        raise GateFailure("the metadata are not what was written")
    return f"{len(stated)} arrays and the metadata"


def tier(contents: Contents) -> str:
    """The behaviour policy, played anew on the stored seed, scores in its tier's band."""
    system = system_of(contents)
    described, evaluation = contents.metadata.get("parts"), contents.metadata.get("evaluation")
    if not isinstance(described, list) or not isinstance(evaluation, Mapping):
        raise CannotTell("the file does not describe its behaviour policy")
    scores = []
    for i, part in enumerate(described):
        try:
            behaviour = from_description(part, contents.weights.get(str(i), {}))
            returns = play(
                system, behaviour.policy, int(evaluation["episodes"]), int(evaluation["seed"])
            ).returns
            band = BANDS[part["tier"]]
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise CannotTell(f"the behaviour policy cannot be made again: {error}") from error
        mean, low, high = mean_interval(normalized_score(contents.metadata["env_id"], returns))
        if low > band[1] or high < band[0]:
            raise GateFailure(
                f"{part['tier']} means a score of {band[0]:g} to {band[1]:g}, its policy scores {mean:.1f} "
                f"({low:.1f} to {high:.1f})"
            )
        scores.append(f"{part['tier']} {mean:.1f}")
    return "scores " + ", ".join(scores)


Gate = Callable[[Contents], str]
GATES: tuple[Gate, ...] = (schema, flags, continuity, replay, actions, finite, hashes, tier)
