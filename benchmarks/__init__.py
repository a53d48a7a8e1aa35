"""Benchmarks and studies: each module prints a table and writes JSON."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")  # pictures are files, also where there is a display
