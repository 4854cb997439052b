"""Metrics of networks and of built artefacts."""
