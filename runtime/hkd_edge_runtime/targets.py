"""The names of the runtimes; without numpy, for command lines that only parse them."""

from __future__ import annotations

ALIASES: dict[str, str] = {
    "onnx": "onnxruntime",
    "ort": "onnxruntime",
    "ov": "openvino",
    "trt": "tensorrt",
    "engine": "tensorrt",
}

TARGETS = tuple(dict.fromkeys(ALIASES.values()))


def canonical_name(name: str) -> str:
    """The name of a runtime for an alias; any other name as it is."""
    return ALIASES.get(name, name)
