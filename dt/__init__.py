"""The companion trainer: sequence models and baselines on cartpole_phys data, run from a clone."""

import os

# PyTorch's worker threads synchronize by spinning (GNU OpenMP, 300,000 iterations by default). On two cores
# shared with another process this makes training 2 to 20 times slower (measured); a lower spin count costs
# 0 to 20 % on an idle machine. The variable must be set before PyTorch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
