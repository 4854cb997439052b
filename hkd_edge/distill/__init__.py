"""Heterogeneous knowledge distillation: losses, the cache of teacher answers, and the two trainings."""
