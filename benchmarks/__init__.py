"""Benchmarks and studies: each module prints a table and writes JSON."""
