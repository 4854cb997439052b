"""The run directory and the mechanics of stages: keys by content, skipping, atomic results."""
