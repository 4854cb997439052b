from __future__ import annotations

import time

from hkd_edge.errors import TrainingError
from hkd_edge.study.progress import Progress
from tests.study.conftest import result


def test_the_time_left_is_of_teachers_and_students_at_their_own_paces(monkeypatch):
    clock, told = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    progress = Progress(5, 1, told.append)
    progress.expect_teachers(3)
    clock[0] = 100.0
    progress.taught()
    clock[0] = 110.0
    progress.done("first", result("kd", 0, 80.0, 81.25))
    clock[0] = 150.0
    progress.taught()
    clock[0] = 160.0
    progress.failed("second", TrainingError("no"))
    assert told == [
        "1 of 5 cells are done already",
        "teachers: 1 of 3 are ready",
        "[2/5] first: validation 81.25 %, 2.5 s; about 3 min 50 s left",  # two teachers at 100 s, three cells at 10
        "teachers: 2 of 3 are ready",
        "[3/5] second: failed: no; about 1 min 30 s left",  # a teacher at 70 s, two cells at 10
    ]


def test_of_a_class_that_was_left_out_the_concepts_are_told():
    told: list[str] = []
    Progress(1, 0, told.append).done("cell", result("kd", 0, 80.0, 81.25, unmet="3"))
    assert told[0].startswith("[1/1] cell: validation concepts 81.25 %, ")
