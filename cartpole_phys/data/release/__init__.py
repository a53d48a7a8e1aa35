"""Releases: the data set catalog with metadata, ready to upload, and the registry of released files."""
