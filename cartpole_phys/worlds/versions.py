"""What the steps of an environment depend on, besides Gymnasium and NumPy."""

from __future__ import annotations

from importlib import metadata

from cartpole_phys.numeric.compiled import source_hash
from cartpole_phys.worlds.making import MUJOCO_MODULE, find_spec


def physics_versions(env_id: str) -> dict[str, str]:
    """This package's kernels, which also run the networks, and MuJoCo where it is the simulator.

    Raises:
        InputError: if there is no such environment.
    """
    versions = {"kernels": source_hash()}
    if str(find_spec(env_id).entry_point).startswith(MUJOCO_MODULE):
        versions["mujoco"] = metadata.version("mujoco")
    return versions
