"""Episodes in memory: the container, selections from it, and the D4RL layouts that it is made from."""

from cartpole_phys.episodes.container import CUT, Episode, Episodes, concatenate

__all__ = ["CUT", "Episode", "Episodes", "concatenate"]
