"""Stage `concepts`: read and check the hierarchy, measure how much of the class it gives away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hkd_edge.concepts import load_hierarchy, measure
from hkd_edge.data.dataset import Dataset
from hkd_edge.data.unlabelled import refuse_useless
from hkd_edge.errors import HierarchyError
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge_runtime.files import write_json_atomically
from hkd_edge_runtime.hierarchy import Hierarchy


def _hierarchy(context: Context) -> Hierarchy:
    path = context.recipe.hierarchy_path
    classes = context.dataset.classes
    if context.recipe.hierarchy_from_data:
        return _of_data(context.dataset)
    return load_hierarchy(path, classes) if path is not None else Hierarchy(classes)


def _checked_hierarchy(context: Context) -> Hierarchy:
    """The hierarchy, which must speak of images without a class; without any, a task teacher may answer them."""
    hierarchy = _hierarchy(context)
    if hierarchy.axes or context.recipe.distill.weights.kd == 0:
        refuse_useless(context.dataset, hierarchy)
    return hierarchy


def _of_data(dataset: Dataset) -> Hierarchy:
    if dataset.origin is None or not dataset.origin.hierarchy.axes:
        raise HierarchyError(
            f"recipe.concepts.hierarchy: expected {dataset.source} to group its classes by concepts (folders above the "
            "classes, or further columns of a list; two or more concepts each), got none. Name a YAML file, or set it "
            "and teacher to null."
        )
    return dataset.origin.hierarchy


def _inputs(context: Context) -> Mapping[str, Any]:
    return {"hierarchy": _checked_hierarchy(context).to_dict()}


def _run(context: Context, key: str) -> list[Path]:
    hierarchy, folder = _hierarchy(context), context.run / "concepts"
    folder.mkdir(exist_ok=True)
    measures = measure(hierarchy)
    write_json_atomically(folder / "hierarchy.json", hierarchy.to_dict())
    write_json_atomically(folder / "measures.json", asdict(measures))
    axes = "; ".join(f"{axis.name}: {', '.join(axis.concepts)}" for axis in hierarchy.axes)
    context.reporter.note("concepts", axes or "no hierarchy: no concept teacher")
    context.reporter.note(
        "concepts",
        f"{measures.undistinguished_count} of {len(hierarchy.classes)} classes share all their concepts with another; "
        f"H(class | concepts) = {measures.entropy_bits:.2f} bits",
    )
    return [folder / "hierarchy.json", folder / "measures.json"]


CONCEPTS = Stage("concepts", _inputs, ("data",), ("concepts/load", "concepts/measure", "stages/concepts"), _run)
