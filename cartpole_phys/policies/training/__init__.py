"""Training of Stable-Baselines3 agents: recipe, environments, recorder, checkpoints and cache."""
