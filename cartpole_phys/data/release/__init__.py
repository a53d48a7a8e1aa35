"""Releases: all data sets of the catalogue in a folder that is ready to be uploaded."""
