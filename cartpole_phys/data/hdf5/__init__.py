"""D4RL HDF5 files: writing, hashing and blockwise reading of arrays and metadata."""
