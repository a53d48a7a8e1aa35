"""The companion trainer: sequence models and baselines on cartpole_phys data, run from a clone."""

import os

# PyTorch's threads wait for each other by spinning (GNU OpenMP, 300,000 rounds). Where something else needs
# one of two cores, that made training 2 to 20 times slower (measured); fewer rounds cost a free machine
# 0 to 20 %. It must be set before PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
