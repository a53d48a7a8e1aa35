"""How fast everything is, each beside a peer in the same run."""
