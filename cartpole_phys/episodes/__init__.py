"""Episodes in memory: the container, selection of episodes, and conversion from D4RL layouts."""

from cartpole_phys.episodes.container import CUT, Episode, Episodes, concatenate

__all__ = ["CUT", "Episode", "Episodes", "concatenate"]
