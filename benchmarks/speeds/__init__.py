"""Speed benchmarks, each against a baseline in the same run."""
