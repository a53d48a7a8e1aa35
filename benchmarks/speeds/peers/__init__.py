"""What speeds are measured beside: others' code, and the same work done as others do it."""
