"""Exports a torch classifier to one ONNX file with its preprocessing and its answers inside."""

from __future__ import annotations

import copy
from pathlib import Path

import onnx
import torch
from torch import nn

from hkd_edge_export.canonical import rename_nodes, save, strip
from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.quiet import quiet
from hkd_edge_export.spec import OPSET, ExportSpec
from hkd_edge_runtime.backends.base import INPUT

# Batch 1 would be taken for a constant by torch.export.
EXAMPLE_BATCH = 2


class Deployed(nn.Module):
    """The network as a board meets it: uint8 (N, H, W, C) in; logits and probabilities out.

    The concept probabilities (N, K) are `probabilities @ membership`: for each concept the mass of its
    classes. Without concepts there is no such output.
    """

    def __init__(self, net: nn.Module, spec: ExportSpec) -> None:
        super().__init__()
        mean, std = (torch.tensor(numbers).reshape(-1, 1, 1) for numbers in (spec.mean, spec.std))
        self.net = net
        self.register_buffer("pixel_scale", 1 / (255 * std))
        self.register_buffer("pixel_bias", -mean / std)
        self.register_buffer("membership", torch.from_numpy(spec.hierarchy.membership()))

    pixel_scale: torch.Tensor
    pixel_bias: torch.Tensor
    membership: torch.Tensor

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """The float32 images (N, C, H, W) that the network was trained on."""
        # TensorRT refuses a Transpose of uint8, so the cast comes first. The mean must not be folded into the
        # first convolution, whose zero padding would then stand for another colour than in training.
        pixels = images.to(torch.float32).permute(0, 3, 1, 2)
        # One channel leaves the strides of (N, H, W, C) behind, on which a network's `view` would fail.
        return (pixels * self.pixel_scale + self.pixel_bias).clone(memory_format=torch.contiguous_format)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = self.net(self.normalise(images))
        probabilities = torch.softmax(logits, dim=1)
        if self.membership.shape[1] == 0:
            return logits, probabilities
        return logits, probabilities, probabilities @ self.membership


def to_onnx(model: nn.Module, spec: ExportSpec, path: Path, *, opset: int = OPSET) -> Path:
    """Writes the ONNX file and returns its path; the model is copied, so the caller's stays as it is.

    `model` maps normalised float32 images (N, C, H, W) to logits (N, classes). The file takes uint8 images
    (N, H, W, C) of any N; its batch norms are folded into the convolutions. The same weights give the same
    bytes.

    Raises:
        ExportError: where the model does not fit the spec, torch cannot export it, or the result breaks the
            contract (see `lint_onnx`). An existing file then stays as it was.
    """
    deployed = Deployed(copy.deepcopy(model).cpu().float(), spec).eval()
    example = torch.zeros(EXAMPLE_BATCH, spec.height, spec.width, spec.channels, dtype=torch.uint8)
    _check_logits(deployed, example, spec)
    exported = _export(deployed, example, spec, opset)
    strip(exported)
    rename_nodes(exported)
    lint_onnx(exported, spec=spec, opset=opset)
    return save(exported, path)


def _check_logits(deployed: Deployed, example: torch.Tensor, spec: ExportSpec) -> None:
    expected = (EXAMPLE_BATCH, len(spec.hierarchy.classes))
    taken = f"normalised images (N, {spec.channels}, {spec.height}, {spec.width})"
    try:
        with torch.no_grad():
            arrived = tuple(deployed.net(deployed.normalise(example)).shape)
    except RuntimeError as error:
        raise ExportError(f"model: expected a network that takes {taken}, but it fails: {error}") from error
    if arrived != expected:
        raise ExportError(
            f"model: expected logits of shape {expected} for {taken}, N = {EXAMPLE_BATCH}; got {arrived}. "
            "Check the classes of the hierarchy against the last layer."
        )


def _export(deployed: Deployed, example: torch.Tensor, spec: ExportSpec, opset: int) -> onnx.ModelProto:
    try:
        with quiet():
            program = torch.onnx.export(
                deployed,
                (example,),
                input_names=[INPUT],
                output_names=list(spec.outputs),
                opset_version=opset,
                dynamic_shapes={INPUT: {0: "batch"}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        # The exporter's own text is pages of advice to its developers; its cause begins with the reason.
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ExportError(
            f"model: expected a network that torch can export, but the exporter fails: {reason}"
        ) from error
    if program is None:
        raise ExportError("model: torch's exporter returned nothing.")
    return program.model_proto
