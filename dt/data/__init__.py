"""Data sets as models read them."""
