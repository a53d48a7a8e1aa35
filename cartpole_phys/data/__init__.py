"""Data sets: tiers, building, D4RL files, checks and scores."""
