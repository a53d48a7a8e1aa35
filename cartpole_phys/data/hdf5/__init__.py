"""Files: how arrays and metadata lie on disk, are hashed, and are read piece by piece."""
