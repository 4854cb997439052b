"""A student in a file that says what it is: weights, architecture, input, classes and concepts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hkd_edge.errors import TrainingError
from hkd_edge.models.build import build
from hkd_edge.models.network import Network
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.train.checkpoint import UNREADABLE, read_described, save_described
from hkd_edge_export.spec import ExportSpec
from hkd_edge_runtime.hierarchy import Hierarchy

FORMAT = "hkd-edge-student"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class SavedStudent:
    """A trained network on the CPU in evaluation mode, and what a file made from it promises."""

    network: Network
    spec: ExportSpec


def save_student(path: Path, network: Network, architecture: Architecture, spec: ExportSpec) -> None:
    """Writes `path` atomically; the same student gives the same bytes."""
    described = {
        # The path of the weights that training started from means nothing to who gets this file.
        "architecture": architecture.model_copy(update={"weights": None}).model_dump(mode="json"),
        "input": {"shape": [spec.height, spec.width, spec.channels], "mean": spec.mean, "std": spec.std},
        "hierarchy": spec.hierarchy.to_dict(),
    }
    save_described(path, (FORMAT, FORMAT_VERSION), described, network.state_dict())


def read_student(path: Path) -> SavedStudent:
    """The student that `save_student` wrote.

    Raises:
        TrainingError: if the file is missing, damaged, or something else.
    """
    try:
        described, weights = read_described(path, (FORMAT, FORMAT_VERSION))
        image, hierarchy = described["input"], Hierarchy.from_dict(described["hierarchy"])
        height, width, channels = image["shape"]
        spec = ExportSpec(height, width, channels, tuple(image["mean"]), tuple(image["std"]), hierarchy)
        architecture = Architecture.model_validate(described["architecture"])
        network = build(architecture, spec.channels, len(hierarchy.classes))
        network.load_state_dict(weights)
    except UNREADABLE as error:
        raise TrainingError(
            f"{path}: expected a student of format {FORMAT} {FORMAT_VERSION}, as `hkd-edge distill` writes it, "
            f"got: {error}. Run that again, or give its file student/student.pt."
        ) from error
    return SavedStudent(network.eval(), spec)
