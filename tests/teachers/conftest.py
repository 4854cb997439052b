"""Small networks of other people: an ONNX file and a package, of the same weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from torch import nn

from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.recipe.foreign import ForeignInput
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context

CLASSES, SIZE = 5, 16
TAKEN = ForeignInput(size=(SIZE, SIZE), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
INPUT = "input: {size: 16, mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4]}"
PACKAGE = """\
from torch import nn

def make(classes=5, width=6):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)
    )

def number():
    return 3
"""


@pytest.fixture
def theirs() -> nn.Sequential:
    """The network that file and package hold, as its makers would run it."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture
def package(theirs: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the installed package `their_package`; its weights lie in weights.pt in it."""
    folder = tmp_path / "installed" / "their_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(PACKAGE)
    torch.save(theirs.state_dict(), folder / "weights.pt")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(__import__("sys").modules, "their_package", raising=False)
    return folder


@pytest.fixture
def onnx_file(theirs: nn.Module, tmp_path: Path) -> Callable[..., Path]:
    """Writes the network as an ONNX file: of how many images a call, with a softmax or not."""

    def write(batch: int | str = "n", *, softmax: bool = False, element: int = TensorProto.FLOAT) -> Path:
        weights = {name: value.numpy() for name, value in theirs.state_dict().items()}
        nodes = [
            helper.make_node("Conv", ["x", "0.weight", "0.bias"], ["c"], strides=[2, 2]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["maps"]),
            helper.make_node("Flatten", ["maps"], ["features"]),
            helper.make_node("Gemm", ["features", "4.weight", "4.bias"], ["logits"], transB=1),
            *([helper.make_node("Softmax", ["logits"], ["p"], axis=1)] if softmax else []),
        ]
        output = "p" if softmax else "logits"
        graph = helper.make_graph(
            nodes,
            "theirs",
            [helper.make_tensor_value_info("x", element, [batch, 3, SIZE, SIZE])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, CLASSES])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
        )
        path = tmp_path / "theirs.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path

    return write


@pytest.fixture
def digits(tmp_path: Path) -> Callable[..., Context]:
    """A short run of the digits with overrides, up to a stage; its context. What it told is in `context.told`."""

    def run(name: str, *overrides: str, until: str = "teach") -> Context:
        recipe = load_recipe("digits", ["distill.training.epochs=1", "distill.views=2", *overrides])
        console = Console(file=io.StringIO(), width=300)
        run_pipeline(recipe, tmp_path / name, Reporter(console), until=until, resume=True)
        context = Context(recipe, tmp_path / name, Reporter(console))
        context.told = console.file.getvalue()  # type: ignore[attr-defined]
        return context

    return run
