"""Behavior policies, and how they are described in a file so that they can be made again."""
