"""Baselines of the speed benchmarks: other libraries, and the usual implementations of the same work."""
