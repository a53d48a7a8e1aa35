"""The gates: each is one validation check of a file."""
