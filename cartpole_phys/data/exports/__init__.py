"""Data sets in the formats that others' trainers read; one file a format."""
