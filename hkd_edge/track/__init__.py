"""Metrics while they happen: `metrics.jsonl` of every run, and TensorBoard and MLflow, which follow it."""
