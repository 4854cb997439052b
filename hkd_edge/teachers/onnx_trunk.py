"""An ONNX file of somebody else's, answered by ONNX Runtime on the CPU."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from torch import Tensor, nn

from hkd_edge.errors import RecipeError, TrainingError
from hkd_edge.recipe.foreign import OUTPUT, Foreign
from hkd_edge_runtime.errors import did_you_mean

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_ERRORS_ONLY = 3
_DENSE = ("Gemm", "MatMul")
# What may stand between the last dense layer and the output.
_BEHIND_DENSE = ("Add", "Softmax", "LogSoftmax", "Identity", "Cast", "Reshape", "Squeeze", "Flatten")


class OnnxTrunk(nn.Module):
    """A network of ONNX Runtime that answers the scores of its classes and its embedding; nothing in it is trained."""

    def __init__(self, path: Path, foreign: Foreign) -> None:
        super().__init__()
        model = _read(path)
        self.parameter_count = sum(math.prod(each.dims) for each in model.graph.initializer)
        self._path = path
        self._scores, self._embedding = _output_names(model, foreign)
        self._session = _session(path, model, self._embedding)
        self._input = self._checked_input(foreign)
        self._dtype = _DTYPES[self._input.type]
        first = self._input.shape[0]
        self._fixed_batch: int | None = first if isinstance(first, int) else None

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """Scores (N, own classes), None if it only embeds, and embeddings (N, E) for images as the network takes them.

        Raises:
            TrainingError: if ONNX Runtime fails, or an output has another shape.
        """
        images = x.cpu().numpy().astype(self._dtype)
        size = self._fixed_batch or len(images)
        answers = [self._run(images[start : start + size]) for start in range(0, len(images), size)]
        scores, embeddings = zip(*answers, strict=True)
        embedding = torch.from_numpy(np.concatenate(embeddings)).to(x.device)
        if self._scores is None:
            return None, embedding
        return torch.from_numpy(np.concatenate(scores)).to(x.device), embedding

    def _run(self, images: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (the embedding again without any) and embeddings of at most as many images as one call takes."""
        count = len(images)
        if self._fixed_batch is not None and count < self._fixed_batch:
            images = np.concatenate([images, np.repeat(images[-1:], self._fixed_batch - count, axis=0)])
        names = [self._scores or self._embedding, self._embedding]
        try:
            answers = self._session.run(names, {self._input.name: images})
        except Exception as error:  # ONNX Runtime's errors share no other base
            raise TrainingError(
                f"{self._path}: expected ONNX Runtime to answer images {images.shape}, got: {error}. "
                "Do input.size, input.layout and batch_size fit this network?"
            ) from error
        scores, embedding = (
            self._flat(name, answer, len(images))[:count] for name, answer in zip(names, answers, strict=True)
        )
        return scores, embedding

    def _flat(self, name: str, answer: NDArray[Any], images: int) -> NDArray[np.float32]:
        pooled = answer.mean((2, 3)) if answer.ndim == 4 else answer
        if pooled.ndim != 2 or len(pooled) != images:
            raise TrainingError(
                f"{self._path}: expected {name!r} of shape ({images}, D) or ({images}, D, H, W), got {answer.shape}. "
                "Name another output by foreign.embedding or foreign.scores_output."
            )
        return pooled.astype(np.float32)

    def _checked_input(self, foreign: Foreign) -> Any:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise TrainingError(f"{self._path}: expected a network of one input, got {len(inputs)}.")
        taken = foreign.input
        channels = 1 if taken.channels == "grey" else 3
        shape = (channels, *taken.size) if taken.layout == "nchw" else (*taken.size, channels)
        declared = inputs[0].shape
        fits = len(declared) == 4 and all(
            not isinstance(theirs, int) or theirs == ours for theirs, ours in zip(declared[1:], shape, strict=True)
        )
        if not fits:
            raise TrainingError(
                f"{self._path}: expected an input of shape (N, {', '.join(map(str, shape))}), as foreign.input says, "
                f"got {tuple(declared)}. Set input.size, input.layout and input.channels to what the network takes."
            )
        if inputs[0].type not in _DTYPES:
            raise TrainingError(f"{self._path}: expected an input of {' or '.join(_DTYPES)}, got {inputs[0].type}.")
        return inputs[0]


def _read(path: Path) -> ModelProto:
    try:
        model: ModelProto = onnx.load(path)
    except Exception as error:  # protobuf's DecodeError is no public class, and a missing file is an OSError
        raise TrainingError(f"foreign.onnx: expected an ONNX file, got {path}: {error}. Name another file.") from error
    return model


def _output_names(model: ModelProto, foreign: Foreign) -> tuple[str | None, str]:
    """The tensors of scores, if there are any, and of the embedding."""
    outputs = [each.name for each in model.graph.output]
    scores = foreign.scores_output
    if scores is not None and scores not in outputs:
        raise RecipeError(
            f"foreign.scores_output: expected one of {', '.join(outputs)}, got {scores!r}."
            f"{did_you_mean(scores, outputs)}"
        )
    if foreign.embedding == OUTPUT:
        return None, scores or outputs[0]
    embedding = foreign.embedding or _before_last_layer(model, scores or outputs[0])
    tensors = [*outputs, *(name for node in model.graph.node for name in node.output)]
    if embedding not in tensors:
        raise RecipeError(
            f"foreign.embedding: expected a tensor of the network or {OUTPUT}, got {embedding!r}."
            f"{did_you_mean(embedding, tensors)} Its outputs: {', '.join(outputs)}."
        )
    others = [name for name in outputs if name != embedding]
    return scores or (others[0] if others else None), embedding


def _before_last_layer(model: ModelProto, output: str) -> str:
    """The tensor that the last dense layer takes."""
    makers: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}
    constants = {each.name for each in model.graph.initializer}
    node = makers.get(output)
    while node is not None and node.op_type in _BEHIND_DENSE:
        node = next((makers[name] for name in node.input if name in makers and name not in constants), None)
    if node is None or node.op_type not in _DENSE:
        got = "none" if node is None else f"{node.op_type} {node.name!r}"
        raise RecipeError(
            f"foreign.embedding: expected a network whose output {output!r} comes from a linear layer (Gemm or "
            f"MatMul), got {got}. Name the tensor that is the embedding, or {OUTPUT}."
        )
    return str(node.input[0])


def _session(path: Path, model: ModelProto, embedding: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    network: str | bytes = str(path)
    if embedding not in [each.name for each in model.graph.output]:
        model.graph.output.append(onnx.ValueInfoProto(name=embedding))  # ONNX Runtime infers its type
        network = model.SerializeToString()
    try:
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no other base
        raise TrainingError(f"foreign.onnx: expected a network that ONNX Runtime runs, got {path}: {error}.") from error
