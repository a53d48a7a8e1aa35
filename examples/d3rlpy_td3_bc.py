"""Train TD3+BC with d3rlpy on a data set: ``python d3rlpy_td3_bc.py FILE [STEPS]``.

d3rlpy pins gymnasium 1.0.0, so it needs a separate environment: ``pip install d3rlpy h5py``.
The script reads a single file, not a folder of shards.
"""

import sys

import d3rlpy
import h5py

path, *rest = sys.argv[1:] or sys.exit(__doc__)
steps = int(rest[0]) if rest else 10_000
with h5py.File(path) as file:
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    observations, actions, rewards, terminals, timeouts = (file[name][()] for name in names)
if actions.ndim == 1:
    sys.exit("TD3+BC needs continuous actions, and this data set has discrete ones.")

# Timeouts keep truncated episodes from being treated as terminated.
dataset = d3rlpy.dataset.MDPDataset(observations, actions, rewards, terminals, timeouts)
algorithm = d3rlpy.algos.TD3PlusBCConfig(
    observation_scaler=d3rlpy.preprocessing.StandardObservationScaler()
).create(device="cpu")
algorithm.fit(
    dataset,
    n_steps=steps,
    n_steps_per_epoch=max(steps // 3, 1),
    logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    show_progress=False,
)
print(f"episodes {len(dataset.episodes)}, transitions {dataset.transition_count}")
print("actions", algorithm.predict(observations[:3]).tolist())
