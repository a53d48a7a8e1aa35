"""Behavior policies: controllers, trained networks and user-supplied policies, and their descriptions."""
