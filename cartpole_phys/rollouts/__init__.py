"""The closed loop: policies, and whole episodes under them."""
