"""A quantized file that ONNX Runtime answers rightly from and OpenVINO wrongly: its flatten counts at run time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import nn

from hkd_edge_export.canonical import rename_nodes, save, strip
from hkd_edge_export.quantize import advanced_parameters, nncf_arguments
from hkd_edge_export.quiet import quiet
from hkd_edge_export.spec import OPSET, ExportSpec
from hkd_edge_export.to_onnx import EXAMPLE_BATCH, Deployed
from hkd_edge_runtime.backends.base import INPUT
from hkd_edge_runtime.hierarchy import Hierarchy

SPEC = ExportSpec(8, 8, 1, (0.305,), (0.376,), Hierarchy.from_dict({"classes": [*"0123456789"], "axes": {}}))


class FlattenByIndices(nn.Module):
    """(N, D, H, W) -> (N, D * H * W) by the place of each number in memory, counted from the N of the run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[1] * x.shape[2] * x.shape[3]
        return x.reshape(-1)[torch.arange(x.shape[0])[:, None] * size + torch.arange(size)]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_block(1, 16, 1), _block(16, 32, 2), nn.AdaptiveAvgPool2d(1))
        self.flatten = FlattenByIndices()
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.flatten(self.blocks(x)))


def _block(a, b, stride):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
