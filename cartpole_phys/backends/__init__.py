"""Backends: environments of this package and any other Gymnasium ones, as data sets see them."""
