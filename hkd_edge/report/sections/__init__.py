"""The parts of a report. Each function returns a section, or None where the run has nothing to show in it."""
