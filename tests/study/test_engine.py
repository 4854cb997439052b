"""Studies that are really trained, on a few of scikit-learn's digits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from hkd_edge.errors import RunDirectoryError, TrainingError
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import dump_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.stage import read_stamp
from hkd_edge.study import engine
from hkd_edge.study.cells import read_result
from hkd_edge.study.command import plan_lines, run_study
from hkd_edge.study.engine import finished, open_study, run_cells
from hkd_edge.study.load import load_study
from hkd_edge.study.work import job_of, train_concept_teacher, train_teachers


def ignored(line: str) -> None:
    """Nobody is told."""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The small study, done: its plan, its folder and what was told."""
    from tests.study.conftest import SMALL

    root = tmp_path_factory.mktemp("study")
    (root / "study.yaml").write_text(SMALL)
    plan, told = load_study(root / "study.yaml"), []
    with open_study(root / "out", b"x", resume=False):
        run_cells(plan, root / "out", 1, told.append)
    return plan, root / "out", told


def test_each_cell_has_a_result_and_a_student(done):
    plan, folder, _ = done
    for planned in plan.cells:
        result = read_result(folder / "cells" / f"{planned.cell.file_stem}.json")
        assert result.cell == planned.cell
        assert (result.validation.images, result.test.images) == (1078, 450)
        assert set(result.test.concepts) == {"strokes", "closed"}
        assert len(result.curve) == 1
        assert (folder / "students" / f"{planned.cell.file_stem}.pt").is_file()
    assert list((folder / "work").iterdir()) == []


def test_a_cell_names_the_teachers_that_its_losses_used(done):
    plan, folder, _ = done
    scratch, hkd = (finished(job_of(folder, planned)) for planned in plan.cells)
    assert (list(scratch.teachers), list(hkd.teachers)) == ([], ["concept"])


def test_teachers_are_trained_once_for_all_methods(done):
    _, folder, _ = done
    for name in ("concept_teachers", "teachers"):
        [run] = (folder / name).iterdir()
        assert read_stamp(run, "teach") is not None


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_concept_teacher_is_trained_once_for_all_budgets(study_file, tmp_path, jobs):
    folder = tmp_path / "out"
    plan = load_study(study_file(("label_budgets: [0.1]", "label_budgets: [0.1, 1.0]")))
    results = run_cells(plan, folder, jobs, ignored)
    [run] = (folder / "concept_teachers").iterdir()
    trained = (run / "teacher" / "concept.pt").read_bytes()
    runs = list((folder / "teachers").iterdir())
    assert len(runs) == 2
    assert all((each / "teacher" / "concept.pt").read_bytes() == trained for each in runs)
    if jobs == 1:  # with as many threads, a cell's own recipe makes the same bits
        run_pipeline(plan.cells[0].recipe, tmp_path / "alone", Reporter(Console(quiet=True)), until="teach")
        assert (tmp_path / "alone" / "teacher" / "concept.pt").read_bytes() == trained
    assert all(each.teachers["concept"].seconds > 0 for each in results if each.teachers)


def test_each_cell_is_told_with_the_time_left(done):
    assert [line.partition(": validation")[0] for line in done[2]] == [
        "teachers: 1 of 1 are ready",
        "[1/2] scratch, student base, 10 % of the labels, seed 0",
        "[2/2] hkd_concept, student base, 10 % of the labels, seed 0",
    ]
    assert "about 0.0 s left" in done[2][2]


def test_what_is_done_is_not_done_again(done, monkeypatch):
    plan, folder, _ = done
    monkeypatch.setattr(engine, "run_cell", None)
    told: list[str] = []
    assert len(run_cells(plan, folder, 1, told.append)) == 2
    assert told == ["2 of 2 cells are done already"]
    assert list(plan_lines(plan, folder))[-1] == "2 cells, 2 of them done; teachers are trained 1 times"


def test_another_recipe_is_another_cell(done, study_file):
    _, folder, _ = done
    plan = load_study(study_file(("hkd_concept: {}", "hkd_concept: {distill: {temperature: 2.0}}")))
    assert [finished(job_of(folder, planned)) is None for planned in plan.cells] == [False, True]


def test_a_cell_that_was_broken_off_is_gone_on_with(study_file, tmp_path, monkeypatch):
    plan, folder = load_study(study_file()), tmp_path / "out"
    job = job_of(folder, plan.cells[0])
    train_concept_teacher(job)
    train_teachers(job)
    with monkeypatch.context() as broken:
        broken.setattr("hkd_edge.study.work.measure_student", broken_off)
        with pytest.raises(KeyboardInterrupt):
            run_cells(plan, folder, 1, ignored)
    run = folder / "work" / plan.cells[0].cell.file_stem
    trained = read_stamp(run, "distill")
    teachers = read_stamp(job.teachers_run, "teach")
    assert read_stamp(run, "teach") == teachers
    with monkeypatch.context() as once:
        once.setattr("hkd_edge.study.work.shutil.rmtree", lambda path: None)
        engine.run_cell(job)
    assert read_stamp(run, "distill") == trained
    assert finished(job) is not None


def broken_off(*_: object) -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


def test_a_cell_that_fails_is_told_when_the_others_are_done(study_file, tmp_path):
    wild = "wild: {like: hkd_concept, distill: {training: {learning_rate: 1.0e30}}}"
    plan = load_study(study_file(("hkd_concept: {}", wild)))
    told: list[str] = []
    with pytest.raises(TrainingError, match=r"got 1 that failed; go on by --resume:\n  wild, .*finite"):
        run_cells(plan, tmp_path / "out", 1, told.append)
    assert finished(job_of(tmp_path / "out", plan.cells[0])) is not None
    assert "failed: expected a finite training loss" in told[2]


def test_a_study_that_is_there_is_only_gone_on_with(done):
    _, folder, _ = done
    refusal = "expected no study yet, got one. Go on with it by --resume"
    with pytest.raises(RunDirectoryError, match=refusal), open_study(folder, b"x", resume=False):
        pass
    with open_study(folder, b"x", resume=True):
        pass


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with (
        pytest.raises(RunDirectoryError, match="got a folder with other files"),
        open_study(tmp_path, b"", resume=True),
    ):
        pass


def test_a_damaged_result_is_told(done, tmp_path):
    plan, folder, _ = done
    file = tmp_path / "cells" / f"{plan.cells[0].cell.file_stem}.json"
    file.parent.mkdir()
    content = json.loads(job_of(folder, plan.cells[0]).result_file.read_text())
    file.write_text(json.dumps({**content, "format_version": 1}))
    with pytest.raises(RunDirectoryError, match="got another format. Remove the file"):
        finished(job_of(tmp_path, plan.cells[0]))


def test_a_dry_run_touches_nothing(study_file, tmp_path, capsys):
    run_study(str(study_file()), Path("out"), resume=False, jobs=1, dry_run=True)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("to do  scratch, student base, 10 % of the labels, seed 0 (teachers seed0.labels0.1.")
    assert not Path("out").exists()


@pytest.mark.slow
def test_a_study_that_was_killed_ends_as_an_undisturbed_one(study_file, hkd_edge, tmp_path):
    """Two methods, three seeds, two processes; the kill comes after the first result."""
    file = study_file(("seeds: [0]", "seeds: [0, 1, 2]"), ("epochs: 1, batch_size: 128}, views", "epochs: 4}, views"))
    command = [sys.executable, "-c", "from hkd_edge.cli import main; main()", "study", str(file), "--jobs", "2"]
    process = subprocess.Popen([*command, "-o", "killed"], stderr=subprocess.DEVNULL)
    wait_for(lambda: list(Path("killed/cells").glob("*.json")) if Path("killed/cells").exists() else [])
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = subprocess.run([*command, "-o", "killed", "--resume"], capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    whole = hkd_edge("study", file.absolute(), "-o", "whole", "--jobs", "2", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert measured_in("killed") == measured_in("whole")
    assert len(measured_in("whole")) == 6
    assert "hkd_concept against scratch" in whole.stdout
    assert Path("whole/study.html").stat().st_size > 10_000


def wait_for(found) -> None:
    """Until there is something, at most a minute."""
    until = time.monotonic() + 60
    while not found():
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)


def measured_in(folder: str) -> dict[str, object]:
    """What each cell measured on test images."""
    files = sorted(Path(folder, "cells").glob("*.json"))
    return {file.name: json.loads(file.read_text())["test"] for file in files}


def test_a_cells_recipe_can_be_run_by_itself(done):
    plan, _, _ = done
    assert "label_fraction: 0.1" in dump_recipe(plan.cells[0].recipe)
