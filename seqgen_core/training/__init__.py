"""The training loop: objective, schedule, resume."""
