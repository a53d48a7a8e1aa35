"""Compiled cart-pole kernels: integrators, step, reset, observations, policies and closed-loop rollouts."""
