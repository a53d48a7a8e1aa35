"""Parquet with one row an episode, as Hugging Face's Decision Transformer data sets have it.

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

METADATA = b"cartpole_phys"  # the file's metadata, as JSON, under this key


def write(data: Episodes, path: Path) -> None:
    """Write all episodes: lists of observations, actions, rewards and dones, and what ``dones`` leaves out.

    ``dones`` are true ends; ``truncated`` says of an episode that its time was up or its collection cut. The
    observation after an episode's last step has no place in this layout, and is left out.

    Raises:
        InputError: if pyarrow is missing.
    """
    with require_extra("hf"):
        import pyarrow as pa
        import pyarrow.parquet

    def rows(values: Array) -> Any:
        """Values of each step, (N,) or (N, size), as lists or lists of lists."""
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
