"""Read a data set with TorchRL's own D4RL reader: ``python torchrl_replay.py FILE``.

TorchRL reads a single file, not a folder of shards.
"""

import sys
import tempfile
from pathlib import Path

from torchrl.data.datasets import d4rl

file, *_ = sys.argv[1:] or sys.exit(__doc__)
path = Path(file).resolve()
d4rl.D4RL_DATASETS[path.stem] = path.as_uri()
replay = d4rl.D4RLExperienceReplay(
    path.stem,
    batch_size=256,
    direct_download=True,  # reads the file; the alternative imports d4rl
    use_truncated_as_done=False,  # otherwise time limits would count as terminals
    root=tempfile.mkdtemp(),
)
print(f"{len(replay)} transitions")
batch = replay.sample()
for name in ("observation", "action", ("next", "observation"), ("next", "reward"), ("next", "terminated")):
    print(name, tuple(batch[name].shape), batch[name].dtype)
