"""Behavior policies, their training, and their descriptions in files, from which they are rebuilt."""
