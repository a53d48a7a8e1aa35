"""Gradient descent, on one device or several."""
