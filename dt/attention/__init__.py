"""What models look at."""
