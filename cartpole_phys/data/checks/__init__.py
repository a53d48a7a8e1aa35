"""Validation checks of data set files; each check is called a gate."""
