"""Backends: the interface of data sets to this package's and any other Gymnasium environments."""
