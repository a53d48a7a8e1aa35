"""Read a file with D4RL's own loader and functions, in D4RL's environment: ``d4rl_reader.py FILE``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

import gym  # type: ignore[import-not-found]


def main(path: str) -> None:
    """Print the number of rows and episodes that each function returns, or the error it raises."""
    os.environ.update(D4RL_DATASET_DIR=tempfile.gettempdir(), D4RL_SUPPRESS_IMPORT_ERROR="1")
    import d4rl  # type: ignore[import-not-found]
    from d4rl.offline_env import OfflineEnv  # type: ignore[import-not-found]

    class Reading(OfflineEnv):  # type: ignore[misc]
        observation_space = gym.spaces.Box(-1.0, 1.0, (4,))
        action_space = gym.spaces.Discrete(2)

    told: dict[str, Any] = {}
    arrays = Reading().get_dataset(h5path=path)
    told["rows"] = len(arrays["rewards"])
    told["transitions"] = len(d4rl.qlearning_dataset(None, arrays)["rewards"])
    try:
        told["episodes"] = len(list(d4rl.sequence_dataset(None, arrays)))
    except Exception as error:
        told["error"] = type(error).__name__
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
