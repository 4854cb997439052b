"""What `hkd-edge export` was asked for, as overrides of a recipe, as a plan in words, or for a bare file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hkd_edge.delivery.files import Order
from hkd_edge.delivery.int8 import RUNGS
from hkd_edge.delivery.plan import PRECISIONS, planned, without_kernels
from hkd_edge.delivery.standalone import export_file, is_exportable
from hkd_edge.recipe import load_recipe
from hkd_edge.recipe.delivery import Precision, Target, Validate
from hkd_edge.run.directory import RECIPE_FILE, is_run
from hkd_edge_export.to_tensorrt import missing_reason, usable_title

__all__ = ["Request", "describe", "export_bare_file", "is_exportable", "overrides_for"]


@dataclass(frozen=True)
class Request:
    """Targets and precisions, none for "as it is", and the points of top-1 that int8 may lose."""

    targets: tuple[Target, ...]
    precisions: tuple[Precision, ...]
    max_drop: float | None


def overrides_for(request: Request, source: str) -> list[str]:
    """The request as overrides of the recipe `source`; to a run directory its targets and precisions are added."""
    has = load_recipe(_recipe_of(source)).export if is_run(Path(source)) else None
    overrides = []
    if request.targets:
        targets = dict.fromkeys([*(has.targets if has else ()), *request.targets])
        overrides.append(f"export.targets=[{', '.join(targets)}]")
    if request.precisions:
        # All precisions are made from fp32.
        wanted = {"fp32", *(has.precisions if has else ()), *request.precisions}
        overrides.append(f"export.precisions=[{', '.join(one for one in PRECISIONS['tensorrt'] if one in wanted)}]")
    if request.max_drop is not None:
        overrides.append(f"validate.max_top1_drop={request.max_drop:g}")
    return overrides


def describe(source: str, overrides: Sequence[str]) -> Iterator[str]:
    """What an export of the recipe or run directory would make, in lines."""
    recipe = load_recipe(_recipe_of(source), overrides)
    order = Order(recipe.export.targets, recipe.export.precisions, recipe.validation.max_top1_drop)
    yield from _planned(order, Path("artefacts"))


def export_bare_file(
    file: Path,
    request: Request,
    folder: Path | None,
    images: Path | None,
    tell: Callable[[str], None],
    *,
    dry_run: bool,
) -> None:
    """Exports a file without a recipe and tells of it line by line; see `hkd_edge.delivery.standalone`."""
    folder = folder or file.with_name(f"{file.stem}-export")
    possible: tuple[Precision, ...] = ("fp32", "fp16", "int8") if images else ("fp32", "fp16")
    drop = Validate().max_top1_drop if request.max_drop is None else request.max_drop
    order = Order(request.targets or tuple(PRECISIONS), request.precisions or possible, drop)
    if dry_run:
        for line in _planned(order, folder):
            tell(line)
        return
    delivered, checked = export_file(file, order, folder, images, tell)
    agreements = {one.artefact: f"agrees with fp32 on {one.agreement:.2f} % of {one.images} images" for one in checked}
    for artefact in delivered.artefacts:
        compared = agreements.get(artefact, "not compared with fp32: give --images FOLDER")
        tell(f"{artefact.path}: {artefact.size_bytes / 1000:.0f} kB, {compared}")


def _recipe_of(source: str) -> str:
    return str(Path(source) / RECIPE_FILE) if is_run(Path(source)) else source


def _planned(order: Order, folder: Path) -> Iterator[str]:
    for artefact in planned(order.targets, order.precisions, folder):
        yield f"would make {', '.join(str(file) for file in artefact.files)}"
    yield from without_kernels(order.targets, order.precisions)
    if "int8" in order.precisions:
        yield f"int8: the first of these that loses at most {order.max_drop:g} points of top-1: {'; '.join(RUNGS)}"
    if "tensorrt" in order.targets:
        usable = usable_title()
        yield f"tensorrt: engines by {usable}" if usable else f"tensorrt: no engine here: {missing_reason()}"
