"""From a labelled set of images to a verified, quantized classifier for an edge board."""

from hkd_edge_runtime import __version__

__all__ = ["__version__"]
