"""The compiled step of one environment or many, from actions to observations."""
