"""The training loop, its optimiser and schedule, its checkpoints."""
