"""Releases: the catalogue in a folder that is ready to be uploaded, and fetching from one."""
