"""TensorRT and TensorRT-RTX: what is installed, engines and their cache, and how an engine is run.

The workstation's export uses the same code to parse and to build. Importing this needs numpy alone.
"""
