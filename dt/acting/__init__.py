"""Acting step by step."""
