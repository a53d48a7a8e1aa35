"""Gate ``schema``: arrays and metadata are complete, with the right types and shapes."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Discrete

from cartpole_phys.backends.base import Backend
from cartpole_phys.data.checks.base import Gate, GateFailure, Unverifiable, declared_backend
from cartpole_phys.data.hdf5.file import REQUIRED, SCHEMA_VERSION, Header
from cartpole_phys.episodes import d4rl_layout

METADATA_KEYS = (
    "schema_version",
    "dataset_name",
    "env_id",
    "env_kwargs",
    "env_spec",
    "recipe",
    "command",
    "parts",
    "evaluation",
    "references",
    "versions",
)


class Schema(Gate):
    """Every array exists with the right type and shape, and every attribute exists."""

    name = "schema"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        required = REQUIRED if header.has_recipe else d4rl_layout.REQUIRED
        absent = [name for name in required if name not in header.arrays]
        missing = [key for key in METADATA_KEYS if key not in header.metadata]
        if absent:
            raise GateFailure(f"expected the array {absent[0]}, got none")
        if not header.has_recipe:
            raise Unverifiable("the file has D4RL's arrays but no recipe")
        if missing:
            raise GateFailure(f"expected the attribute {missing[0]}, got none")
        version = header.metadata["schema_version"]
        if version != SCHEMA_VERSION:
            raise GateFailure(f"expected schema {SCHEMA_VERSION}, got {version}")

    def finish(self) -> str:
        rows = self.header.rows
        expected = expected_arrays(declared_backend(self.header))
        for name, (dtype, trailing) in expected.items():
            array = self.header.arrays.get(name)
            got = None if array is None else (array.dtype.str, array.shape)
            if got != (dtype, (rows, *trailing)):
                raise GateFailure(f"expected {name} as {dtype} {(rows, *trailing)}, got {got}")
        for name, array in self.header.arrays.items():
            if (not name.startswith("infos/") and name not in expected) or name not in self.header.aligned:
                raise GateFailure(
                    f"expected only known arrays of {rows} rows, got {name} of shape {array.shape}"
                )
        return f"{len(self.header.arrays)} arrays of {rows:,} rows"


def expected_arrays(backend: Backend) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Data type and trailing shape of every required array of a file, for an environment."""
    observation = ("<f4", backend.observation_space.shape or ())
    action = backend.action_space
    return {
        "observations": observation,
        "next_observations": observation,
        "actions": ("<i8", ()) if isinstance(action, Discrete) else ("<f4", action.shape or ()),
        "rewards": ("<f4", ()),
        "terminals": (np.dtype(np.bool_).str, ()),
        "timeouts": (np.dtype(np.bool_).str, ()),
        **{f"infos/{name}": spec for name, spec in backend.info_arrays.items()},
    }
