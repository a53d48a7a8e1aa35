"""Export to parquet with one row per episode, the layout of Hugging Face's Decision Transformer data sets.

Source: huggingface.co/datasets/edbeeching/decision_transformer_gym_replay.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import require_extra
from cartpole_phys.utils.typing import Array

METADATA = b"cartpole_phys"  # key of the data set's metadata, as JSON


def write(data: Episodes, path: Path) -> None:
    """Write all episodes: lists of observations, actions, rewards and dones, and whether each was truncated.

    ``dones`` are terminations; ``truncated`` marks episodes that ended at the time limit or whose collection
    was cut. This layout has no column for final observations, which are omitted.

    Raises:
        InputError: if pyarrow is not installed.
    """
    with require_extra("hf"):
        import pyarrow as pa
        import pyarrow.parquet

    def rows(values: Array) -> Any:
        """Convert values per step, (N,) or (N, size), to a list or a list of lists per episode."""
        column = pa.array(values.reshape(-1))  # (N, …) -> (values,)
        if values.ndim > 1:
            column = pa.LargeListArray.from_arrays(np.arange(0, values.size + 1, values.shape[1]), column)
        return pa.LargeListArray.from_arrays(data.offsets, column)

    table = pa.table(
        {
            "observations": rows(data.observations),
            "actions": rows(data.actions),
            "rewards": rows(data.rewards),
            "dones": rows(data.terminations),
            "truncated": pa.array(~data.terminations[data.offsets[1:] - 1]),
        }
    )
    table = table.replace_schema_metadata({METADATA: json.dumps(dict(data.metadata)).encode()})
    pyarrow.parquet.write_table(table, path, compression="zstd", row_group_size=1_000)
