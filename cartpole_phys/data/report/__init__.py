"""Reports of data sets: statistics, charts and an episode player, in the terminal or as HTML."""
