"""Drawing with pygame."""
