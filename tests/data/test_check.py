"""`hkd-edge data check` and `data make`: what a person reads, what a program reads, and the exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hkd_edge.cli import cli
from hkd_edge.errors import DataError
from hkd_edge_runtime.errors import HkdEdgeError
from tests.data.drawn import draw, write_pictures


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["data", "check", *map(str, arguments)])


@pytest.fixture
def faulty(photos: Path) -> Path:
    """The photos with a fault of each kind planted."""
    (photos / "round/ball/broken.jpg").write_bytes((photos / "round/ball/0000.jpg").read_bytes()[:800])
    (photos / "round/ball/notes.txt").write_text("not a picture")
    shutil.copy(photos / "round/ball/0001.jpg", photos / "round/ball/again.jpg")
    shutil.copy(photos / "round/ball/0002.jpg", photos / "cornered/box/ball.jpg")
    draw("ring", 3).resize((60, 45)).save(photos / "round/ring/small.png")
    (photos / "round/loop").symlink_to(photos)
    return photos


def test_everything_that_was_planted_is_found_and_exits_with_0(faulty: Path) -> None:
    result = check(faulty, "--max-unreadable", "0.05")
    assert result.exit_code == 0, result.output
    for line in (
        "images       35 in 4 classes",
        "         9  ball",
        "width        60 to 96 pixels, median 96",
        "image_size   64 recommended: the shorter side of the median image has 72 pixels",
        "modes        35 RGB",
        "passed over  1 .txt that are no images",
        "exact copies 2 pictures are there more than once",
        "    round/ball/0001.jpg = round/ball/again.jpg",
        "near copies  1 pictures are there more than once",
        "    round/ring/0003.jpg = round/ring/small.png",
        "warning: 1 folders lead back to one they are in and are passed over: round/loop",
        "warning: 1 pictures have more than one label, an error in the data: "
        "cornered/box/ball.jpg = round/ball/0002.jpg (ball, box)",
    ):
        assert line in result.stdout.splitlines()
    assert "warning: 1 unreadable images are left out: round/ball/broken.jpg (" in result.stdout


def test_what_a_run_would_refuse_is_told_after_the_findings(faulty: Path) -> None:
    result = check(faulty)
    assert "images       35 in 4 classes" in result.stdout
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 5
    assert "expected at most 1 % of 36 images to be unreadable, got 1 unreadable ones:" in str(result.exception)


def test_json_has_all_of_it(faulty: Path) -> None:
    result = check(faulty, "--json")
    told = json.loads(result.stdout)
    assert told["classes"] == {"ball": 9, "box": 9, "ring": 9, "wedge": 8}
    assert told["unreadable"].keys() == {"round/ball/broken.jpg"}
    assert [found["kind"] for found in told["duplicates"]] == ["exact", "exact", "near"]
    assert told["sides"]["width"] == [60, 96.0, 96]
    assert told["recommended_size"] == 64
    assert len(told["warnings"]) == 3
    assert told["refused"].startswith(f"{faulty}: expected at most 1 %")


def test_a_good_list_is_checked_too(photos: Path, tmp_path: Path) -> None:
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name},{n % 3}" for n, file in enumerate(photos.rglob("*.jpg"))]
    (tmp_path / "list.csv").write_text("path,class,group\n" + "\n".join(rows))
    result = check(tmp_path / "list.csv")
    assert "groups       3" in result.stdout


def test_imbalance_is_told_with_its_remedy(photos: Path) -> None:
    write_pictures(photos, 30, start=20)
    for file in sorted((photos / "round/ring").iterdir())[5:]:
        file.unlink()
    assert "imbalance    7.6 images of the largest class for one of the smallest (data.balance: weights" in (
        check(photos).stdout
    )


def test_a_wrong_expression_and_a_wrong_folder_are_told(tmp_path: Path, photos: Path) -> None:
    result = check(photos, "--group-by", "(")
    assert result.exit_code == 2
    assert "expected a regular expression, got '(': missing )" in result.output
    result = check(tmp_path / "nowhere")
    assert isinstance(result.exception, HkdEdgeError)
    assert "expected a list of images (.csv, .tsv or .parquet), found none" in str(result.exception)


def test_what_is_no_command_of_data_is_a_recipe() -> None:
    runner = CliRunner()
    assert "RECIPE|RUN" in runner.invoke(cli, ["data", "make", "--help"]).output
    result = runner.invoke(cli, ["data", "no_such_recipe"])
    assert "expected the name of a recipe, got 'no_such_recipe'" in str(result.exception)
