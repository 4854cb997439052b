"""docs/troubleshooting.md quotes messages as they are: each is provoked here, or stands in the source."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
from PIL import Image

from docs.tools.commands import error_kinds
from docs.tools.markdown import code_blocks
from hkd_edge.cli import main
from tests.docs.error_messages import message_like
from tests.docs.markdown_files import text_of

_SECTION = re.compile(r"^## (\d+|Warnings)\b(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
PAGE = text_of("docs/troubleshooting.md")
QUOTED = {
    block.text.strip(): None if section[1] == "Warnings" else int(section[1])
    for section in _SECTION.finditer(PAGE)
    for block in code_blocks(section[2])
}

RECIPE = """\
version: 1
name: {name}
data: {{dataset: digits}}
student: {{architecture: {{stem_width: 8, widths: [8], blocks: [0]}}}}
distill: {{training: {{epochs: 1}}}}
"""
CLASSES = [str(digit) for digit in range(10)]


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
    Image.fromarray(noise).save(path)


def recipe(*changes: tuple[str, str]) -> Callable[[], None]:
    def write() -> None:
        text = RECIPE.format(name="my")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        Path("my.yaml").write_text(text)

    return write


def hierarchy(text: str) -> Callable[[], None]:
    def write() -> None:
        recipe(("student:", "concepts: {hierarchy: my.concepts.yaml}\nstudent:"))()
        Path("my.concepts.yaml").write_text(text)

    return write


def text_file(name: str, text: str) -> Callable[[], None]:
    def write() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)

    return write


def pictures(*names: str) -> Callable[[], None]:
    def write() -> None:
        for seed, name in enumerate(names):
            picture(Path("photos", name), seed)

    return write


def broken_pictures() -> None:
    pictures("a/1.png", "a/2.png", "b/3.png", "b/4.png")()
    for name in ("a/5.png", "b/6.png"):
        Path("photos", name).write_text("no picture")


def scarce_pictures() -> None:
    pictures("heron/1.png", "stork/1.png", "stork/2.png", "stork/3.png", "stork/4.png")()


def grouped_recipe(changes: str) -> Callable[[], None]:
    def write() -> None:
        pictures(*(f"{label}/{index}.png" for label in "ab" for index in range(6)))()
        recipe(("{dataset: digits}", "{dataset: folder, root: photos, image_size: 16}"), ("student:", changes))()

    return write


def locked_run() -> None:
    import fcntl

    text_file("runs/a/recipe.yaml", "version: 1\n")()
    held = Path("runs/a/.lock").open("w")  # noqa: SIM115  # held for as long as the test
    fcntl.flock(held, fcntl.LOCK_EX)
    _HELD.append(held)


_HELD: list[TextIO] = []


def nothing() -> None:
    pass


# A part of the quoted message: what lies there, and the command that gives it.
PROVOKED: dict[str, tuple[Callable[[], None], str]] = {
    "No such command 'distil'": (nothing, "distil digits"),
    "expected --resume or --overwrite": (nothing, "run digits --resume --overwrite"),
    "got digits, which is none": (nothing, "concepts suggest digits"),
    "got my.concepts.yaml. Replace by --force": (
        text_file("my.concepts.yaml", ""),
        "concepts suggest digits -o my.concepts.yaml",
    ),
    "expected two or more runs": (nothing, "compare runs/a"),
    "expected --images with a file only": (nothing, "export digits --images photos"),
    "recipe.studnet: unknown key": (recipe(("student:", "studnet:")), "run my.yaml"),
    "recipe.distill.temperature: expected": (
        recipe(("distill: {", "\n\n\n\ndistill: {temperature: 0, ")),
        "run my.yaml",
    ),
    "recipe.data: missing": (recipe(("data: {dataset: digits}\n", "")), "run my.yaml"),
    "while parsing a flow mapping": (text_file("my.yaml", "version: 1\ndata: {dataset: digits\n"), "run my.yaml"),
    "aliases are not read here": (text_file("my.yaml", "version: 1\nseed: &x 1\nname: *x\n"), "run my.yaml"),
    "nowhere.yaml: expected a recipe file": (nothing, "run nowhere.yaml"),
    "expected the name of a recipe, got 'digit'": (nothing, "run digit"),
    "--set distill.temprature": (nothing, "run digits --set distill.temprature=4"),
    "since recipe.teacher learns its concepts": (nothing, "run digits --set concepts.hierarchy=null"),
    "recipe.distill.weights.kd": (nothing, "run digits --set distill.weights.kd=1"),
    "recipe.data.image_size: expected": (recipe(("dataset: digits", "dataset: folder, root: photos")), "run my.yaml"),
    "architecture.stem_width: expected a value": (recipe(("stem_width: 8", "kind: plain")), "run my.yaml"),
    "recipe.tracking.mlflow: expected a URI": (nothing, "run digits --set tracking.mlflow=http://me:secret@server"),
    "expected the name of a study": (nothing, "study digit"),
    "unknown class '9x'": (hierarchy("axes:\n  kind: {round: ['0', 9x], b: ['1']}\n"), "concepts check my.yaml"),
    "expected the name of a class, got 0": (
        hierarchy("axes:\n  kind: {round: [0], b: ['1']}\n"),
        "concepts check my.yaml",
    ),
    "got '8', which is in 'round' too": (
        hierarchy("axes:\n  kind: {round: ['0', '8'],\n         straight: ['1', '8']}\n"),
        "concepts check my.yaml",
    ),
    "expected at least 2 concepts, got 1": (hierarchy("axes:\n  kind: {round: ['0']}\n"), "concepts check my.yaml"),
    "expected folder photos to group its classes": (
        grouped_recipe("concepts: {hierarchy: folders}\nstudent:"),
        "concepts make my.yaml",
    ),
    "expected images in a subfolder": (
        lambda: Path("photos").mkdir(),
        "data check photos",
    ),
    "expected every image in the folder of its class": (
        pictures("1.png", "2.png", "a/3.png", "b/4.png"),
        "data check photos",
    ),
    "expected only splits beside test": (
        pictures("train/a/1.png", "test/a/2.png", "other/a/3.png"),
        "data check photos",
    ),
    "images to be unreadable": (broken_pictures, "data check photos"),
    "expected at least 3 groups of images": (scarce_pictures, "data check photos"),
    "expected the columns path and class": (text_file("list.csv", "path,label\na.png,b\n"), "data check list.csv"),
    "expected 2 cells as in the header": (
        text_file("list.csv", "path,class\na.png,b\na,b.png,c\n"),
        "data check list.csv",
    ),
    "photos: expected a folder that is not there yet": (
        lambda: Path("photos").mkdir(),
        "data import idx -o photos",
    ),
    "else: expected what datasets.save_to_disk wrote": (
        text_file("else/notes.txt", "x"),
        "data import else -o photos",
    ),
    "expected a folder with Fashion-MNIST": (nothing, "data make fashion_mnist --set data.root=nowhere"),
    "expected the file train-images": (
        lambda: Path("fmnist").mkdir(),
        "data make fashion_mnist --set data.root=fmnist",
    ),
    "expected no such run yet": (text_file("runs/a/recipe.yaml", "version: 1\n"), "run digits -o runs/a"),
    "got a folder with other files": (text_file("runs/a/notes.txt", "x"), "run digits -o runs/a"),
    "expected to be alone in this run": (locked_run, "data make digits -o runs/a --resume"),
    "expected no recipe yet": (text_file("birds/recipe.yaml", "x"), "init birds --data photos"),
    "expected a validated run": (text_file("runs/a/recipe.yaml", "version: 1\n"), "compare runs/a runs/b"),
    "nowhere: expected a bundle": (nothing, "predict nowhere photo.jpg"),
    "digits.hkd: expected a bundle": (text_file("digits.hkd", "x"), "predict digits.hkd photo.jpg"),
}


def flipped_bit() -> None:
    content = bytearray(Path("bundle/golden.npz").read_bytes())
    content[-1] ^= 1
    Path("bundle/golden.npz").write_bytes(content)


# The same for what needs a folder `bundle`.
OF_BUNDLES: dict[str, tuple[Callable[[], None], str]] = {
    "golden.npz: expected SHA-256": (flipped_bit, "predict bundle page.png"),
    "notes.txt: expected nothing of that name": (text_file("bundle/notes.txt", "x"), "predict bundle page.png"),
    "got 'onnxruntim'": (nothing, "predict bundle page.png --target onnxruntim"),
    "got 'fp64'": (nothing, "predict bundle page.png --precision fp64"),
    "page.png: expected an image file": (text_file("page.png", "<html>"), "predict bundle page.png"),
    "nowhere.pem: expected a key file": (nothing, "bundle sign bundle --key nowhere.pem"),
    "p95 of one image <= 0.0001 ms": (nothing, "validate bundle --max-p95-ms 0.0001 --target ort"),
    "expected all gates to hold": (nothing, "validate bundle --max-p95-ms 0.0001 --target ort"),
}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[
    Callable[[str], tuple[str, int]]
]:  # fmt: skip
    """What a command says on standard error, and its exit code, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))

    def run(line: str) -> tuple[str, int]:
        monkeypatch.setattr("sys.argv", ["hkd-edge", *line.split()])
        with pytest.raises(SystemExit) as leaving:
            main()
        return capsys.readouterr().err, int(leaving.value.code or 0)

    yield run
    while _HELD:
        _HELD.pop().close()


def quoted(part: str) -> tuple[str, int | None]:
    """The one quoted message that has `part` in it, and the exit code above it."""
    ((text, code),) = [(text, code) for text, code in QUOTED.items() if part in text]
    return text, code


def pattern_of(text: str) -> str:
    """`...` in a quoted message stands for what is left out; lines are as good as spaces."""
    return ".*".join(r"\s+".join(map(re.escape, part.split())) for part in text.split("..."))


@pytest.mark.parametrize("part", PROVOKED)
def test_a_quoted_message_is_what_the_command_says(part: str, told: Callable[[str], tuple[str, int]]) -> None:
    prepare, line = (PROVOKED | OF_BUNDLES)[part]
    prepare()
    said, code = told(line)
    text, expected = quoted(part)
    assert re.search(pattern_of(text), said, re.DOTALL), said
    assert code == expected, said


@pytest.mark.parametrize("text", [text for text in QUOTED if not any(part in text for part in PROVOKED | OF_BUNDLES)])
def test_a_quoted_message_that_is_not_provoked_stands_in_the_source(text: str) -> None:
    code = QUOTED[text]
    found = message_like(text)
    assert found, "no message of the source reads so"
    assert any(message.exit_code in (None, code) for message in found), [message.place for message in found]


def test_every_error_has_its_section_with_a_message() -> None:
    sections = {int(found[1]): found[0] for found in _SECTION.finditer(PAGE) if found[1].isdigit()}
    for kind in error_kinds():
        assert kind.__name__ in sections[kind.exit_code], kind
    assert {2, 130} <= set(sections)
    assert all(code_blocks(section) for section in sections.values())


@pytest.mark.parametrize("part", OF_BUNDLES)
def test_a_quoted_message_is_what_a_command_says_of_a_bundle(
    part: str, digits_run: Path, told: Callable[[str], tuple[str, int]]
) -> None:
    shutil.copytree(digits_run / "bundle", "bundle")
    test_a_quoted_message_is_what_the_command_says(part, told)
