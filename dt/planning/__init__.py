"""Planning: beam search and energy-based refinement."""
