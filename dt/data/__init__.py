"""Training data: description, normalization, discretization and batch sampling."""
