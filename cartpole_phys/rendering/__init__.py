"""Rendering with pygame: images and windows."""
