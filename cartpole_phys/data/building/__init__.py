"""Builds of data sets: from a recipe to validated files."""
