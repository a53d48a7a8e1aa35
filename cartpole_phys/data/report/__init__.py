"""Data sets to look at: their statistics, in the terminal and as a page."""
