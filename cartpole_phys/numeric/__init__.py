"""Compiling, sines and random numbers: what the physics is computed with."""
