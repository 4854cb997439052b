"""`hkd-edge concepts suggest|check|show`, as they are called."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hkd_edge.cli import cli
from hkd_edge.concepts import load_hierarchy
from hkd_edge.concepts.suggest import Evidence
from hkd_edge.errors import HierarchyError
from hkd_edge.report.picture import standalone
from tests.concepts.drawn import CLASSES, evidence
from tests.grouping.test_folder import _COLOURS, draw

_DOCS = Path(__file__).resolve().parents[1] / "docs" / "concepts.md"
_COMMANDS = re.findall(r"^hkd-edge .*$", _DOCS.read_text(encoding="utf-8"), re.MULTILINE)
_SVG = "{http://www.w3.org/2000/svg}"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["concepts", *map(str, arguments)])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What looks like a run, of which the evidence is drawn."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").touch()

    def drawn(path: Path) -> Evidence:
        assert path == tmp_path / "run"
        return evidence()

    monkeypatch.setattr("hkd_edge.grouping.of_run.evidence_of_run", drawn)
    return tmp_path / "run"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text("axes:\n  kind: {one: [a, a], two: []}\nmore: 1\n")
    return path


def test_the_yaml_alone_goes_to_stdout(run, tmp_path):
    result = call("suggest", run)
    assert result.exit_code == 0, result.output
    (tmp_path / "piped.yaml").write_text(result.stdout)
    assert [axis.name for axis in load_hierarchy(tmp_path / "piped.yaml", CLASSES).axes] == ["axis_1"]
    assert "From a drawn network." in result.stderr
    assert "┐" in result.stderr
    assert "Other numbers of groups (silhouette): 2 (" in result.stderr


def test_files_are_written_and_never_replaced_unasked(run, tmp_path):
    text, picture = tmp_path / "s.yaml", tmp_path / "s.svg"
    options = ("suggest", run, "--axes", 2, "-o", text, "--picture", picture)
    assert call(*options).exit_code == 0
    assert len(load_hierarchy(text, CLASSES).axes) == 2
    assert ElementTree.parse(tmp_path / "s-2.svg").getroot().tag == f"{_SVG}svg"
    text.write_text("mine")
    refused = call(*options)
    assert refused.exit_code == 2
    assert "expected files that are not there yet" in refused.stderr
    assert text.read_text() == "mine"
    assert call(*options, "--force").exit_code == 0
    assert text.read_text() != "mine"


def test_the_picture_says_in_words_what_it_shows_and_has_both_themes(run, tmp_path):
    assert call("suggest", run, "--picture", tmp_path / "s.svg").exit_code == 0
    root = ElementTree.parse(tmp_path / "s.svg").getroot()
    described = root.find(f"{_SVG}desc")
    assert described is not None
    assert "group_1: Coat and Shirt; group_2: Boot, Sandal and Sneaker; group_3: Bag" in str(described.text)
    assert root.get("aria-labelledby") == "dendrogram-axis_1-title dendrogram-axis_1-description"
    content = (tmp_path / "s.svg").read_text()
    assert "prefers-color-scheme: dark" in content
    assert "#fe00" not in content  # no stand-in for a colour is left
    assert {"Coat", "Boot", "group_3", "3 groups"} <= {text.strip() for text in root.itertext()}


def test_standalone_takes_drawings_alone():
    with pytest.raises(ValueError, match="expected the opening tag of draw"):
        standalone("<p>no drawing</p>")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--groups", "many"], "expected a whole number >= 2 or \"auto\", got 'many'"),
        (["--groups", "2", "--groups", "2"], "expected --groups at most once for each of 1 axes, got it 2 times"),
    ],
)
def test_a_wrong_number_of_groups_is_a_usage_error(run, options, message):
    result = call("suggest", run, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_groups_are_asked_for_axis_by_axis(run):
    result = call("suggest", run, "--axes", 2, "--groups", "auto", "--groups", 2)
    assert "3 groups, the number that lasts longest" in result.stderr
    assert "2 groups, as many as were asked for" in result.stderr


def test_a_folder_of_images_is_enough(tmp_path):
    result = call("suggest", draw(tmp_path / "photos", _COLOURS))
    assert result.exit_code == 0, result.output
    assert "# Caution: nothing was trained" in result.stdout


def test_a_suggested_file_passes_the_check(run, tmp_path):
    assert call("suggest", run, "-o", tmp_path / "s.yaml").exit_code == 0
    checked = call("check", tmp_path / "s.yaml")
    assert checked.exit_code == 0
    assert "s.yaml: 1 axis over 6 classes (those that the file names" in checked.stdout
    assert "note: axis_1: one class alone in group_3" in checked.stdout
    assert checked.stdout.endswith("no errors, 0 warnings\n")


def test_warnings_are_no_errors(tmp_path):
    (tmp_path / "h.yaml").write_text("axes: {x: {p: [a, b], q: [c, d]}, y: {p: [a, b], q: [c, d]}}\n")
    checked = call("check", tmp_path / "h.yaml")
    assert checked.exit_code == 0
    assert "warning: x and y repeat each other" in checked.stdout
    assert checked.stdout.endswith("no errors, 3 warnings\n")


def test_all_errors_are_told_at_once_with_exit_code_4(bad, hkd_edge):
    result = hkd_edge("concepts", "check", bad)
    assert result.returncode == 4
    lines = result.stderr.removeprefix("error: ").splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "hierarchy.axes.kind.one[1]",
        "hierarchy.axes.kind.two",
        "hierarchy.more",
    ]


def test_a_recipe_knows_the_classes_that_its_hierarchy_forgets(tmp_path):
    (tmp_path / "h.yaml").write_text('axes: {kind: {low: ["0", "1"], high: ["8", "9"]}}\n')
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "version: 1\nname: r\ndata: {dataset: digits}\nconcepts: {hierarchy: h.yaml}\n"
        "student: {architecture: {stem_width: 8, widths: [8], blocks: [0]}}\n"
        "distill: {training: {epochs: 1, batch_size: 64, learning_rate: 0.1}}\n"
    )
    checked = call("check", recipe)
    assert checked.exit_code == 0, checked.output
    assert "1 axis over 10 classes (those of the data)" in checked.stdout
    assert "warning: no axis speaks of 2, 3, 4, 5, 6, 7" in checked.stdout
    recipe.write_text(recipe.read_text().replace("concepts: {hierarchy: h.yaml}\n", ""))
    refused = call("check", recipe)
    assert isinstance(refused.exception, HierarchyError)
    assert "expected a recipe that names a hierarchy" in str(refused.exception)


def test_folders_within_folders_are_checked_and_shown(tmp_path):
    for name in ("water/sea", "water/lake", "land/wood"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").touch()
    assert "note: not told apart: lake, sea" in call("check", tmp_path / "photos").stdout
    shown = call("show", tmp_path / "photos")
    assert shown.stdout == "level_1\n  land\n    wood\n  water\n    lake\n    sea\n"


def test_show_is_plain_off_a_terminal_and_draws_a_picture(tmp_path):
    picture = tmp_path / "h.svg"
    shown = call("show", "digits", "--picture", picture)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("strokes\n  loops\n    0\n    6\n")
    assert "loops" in picture.read_text()
    assert call("show", "digits", "--picture", picture).exit_code == 2


def test_show_of_a_run_is_what_it_was_made_with(run):
    (run / "concepts").mkdir()
    (run / "concepts" / "hierarchy.json").write_text('{"classes": ["a", "b"], "axes": {"k": {"x": ["a"]}}}')
    assert call("show", run).stdout == "k\n  x\n    a\n  (silent)\n    b\n"


def test_a_hierarchy_with_keys_of_a_recipe_is_still_one(tmp_path):
    (tmp_path / "h.yaml").write_text("axes: {x: {p: [a], q: [b]}}\nname: mine\n")
    assert "hierarchy.name: unknown key" in str(call("check", tmp_path / "h.yaml").exception)


@pytest.mark.parametrize("line", _COMMANDS)
def test_commands_of_the_docs_are_understood(line):
    words = shlex.split(line)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


def test_what_is_nowhere_is_told():
    refused = call("suggest", "digits")
    assert refused.exit_code == 2
    assert "got digits, which is none. Of a recipe, make a run first: hkd-edge distill digits" in " ".join(
        refused.stderr.split()
    )
    assert call("check", "fashion_mnst").exception.exit_code == 3  # type: ignore[union-attr]
