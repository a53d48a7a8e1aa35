"""Helpers that know nothing of reinforcement learning: errors, files, progress, parallel work."""
