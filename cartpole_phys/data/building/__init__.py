"""Building: from a recipe to the rows of its parts, and to files that have passed every gate."""
