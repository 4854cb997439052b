"""A camera loop for the Raspberry Pi."""
