"""An HTTP server: images in, answers out; `python -m examples.server BUNDLE`."""
