"""Data flows one way: who may import whom, read off the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each room of hkd_edge may import the rooms named here, itself, and the two packages below it.
ROOMS = {
    "errors": set(),
    "places": {"errors"},
    "recipe": {"errors", "places"},
    "concepts": {"errors", "recipe"},
    "data": {"errors", "recipe"},
    "models": {"errors", "recipe"},
    "train": {"errors", "recipe", "data"},
    "evaluate": {"errors", "recipe", "data", "train"},
    "distill": {"errors", "recipe", "data", "models", "train", "evaluate"},
    "teachers": {"errors", "recipe", "models", "train"},
    "report": {"errors", "concepts", "evaluate", "track", "train"},
    "track": {"errors", "recipe", "evaluate", "train"},
    "compare": {"errors", "recipe", "evaluate", "report", "run"},
    "delivery": {"errors", "recipe", "data", "evaluate", "distill", "run"},
    "run": {"errors", "places", "recipe", "data", "train", "report"},
    "board": {"errors", "run"},
    "stages": {
        *("errors", "recipe", "concepts", "data", "models", "train"),
        *("evaluate", "distill", "delivery", "report", "run", "teachers"),
    },
    "pipeline": {"errors", "recipe", "report", "run", "stages", "track", "train"},
    "study": {
        *("errors", "places", "recipe", "data", "evaluate", "report", "run", "stages", "pipeline", "teachers"),
    },
    "doctor": {"errors", "data", "train"},
    "validation": {"errors", "recipe", "data", "evaluate", "report", "run", "stages", "pipeline"},
    "grouping": {"errors", "recipe", "concepts", "data", "models", "evaluate", "report", "run", "stages"},
    "start": {"errors", "recipe", "concepts", "data", "models", "report", "train"},
    "importing": {"errors", "data"},
    "command_help": set(),
    "completion": {"command_help", "places"},
    "bundle_commands": {"command_help", "completion"},
    "data_commands": {"bundle_commands", "command_help", "data", "importing", "recipe", "report"},
    "concepts_commands": {"bundle_commands", "command_help", "completion", "concepts", "grouping", "report", "run"},
    "recipes_commands": {"command_help", "completion", "recipe"},
    "stage_commands": {
        *("command_help", "completion", "errors"),
        *("delivery", "pipeline", "recipe", "report", "run", "train"),
    },
    "cli": {
        *("board", "bundle_commands", "compare", "concepts_commands", "data_commands", "run", "report"),
        *("delivery", "doctor", "start", "study", "validation"),
        *("command_help", "completion", "recipes_commands", "stage_commands"),
    },
    "__main__": {"cli"},
}
RUNTIME_MAY_IMPORT = {"numpy", "PIL", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "cuda", "cryptography"}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "hkd_edge").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sources("hkd_edge"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("hkd_edge.")}
    assert used <= ROOMS[room] | {room}


@pytest.mark.parametrize("path", sources("export"), ids=lambda path: path.name)
def test_export_knows_nothing_of_the_toolchain(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] in ("hkd_edge", "click", "pydantic", "rich")]


@pytest.mark.parametrize("path", sources("runtime"), ids=lambda path: path.name)
def test_the_runtime_needs_numpy_and_backends_alone(path: Path) -> None:
    import sys

    foreign = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"hkd_edge_runtime"}
    assert foreign <= RUNTIME_MAY_IMPORT


def test_recipes_and_concepts_never_import_torch() -> None:
    for room in ("recipe", "concepts"):
        for path in sources(f"hkd_edge/{room}"):
            assert "torch" not in {name.split(".")[0] for name in imports(path)}, path
