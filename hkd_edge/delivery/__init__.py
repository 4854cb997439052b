"""Which files are made for which target, in which order, and how int8 earns its place among them."""
