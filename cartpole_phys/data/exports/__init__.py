"""Exports to other offline-RL formats, one module per format."""
