"""Teachers that a recipe does not train: checkpoints of other runs, and other people's networks."""
