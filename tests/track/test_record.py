"""metrics.jsonl survives a kill at any moment, and refuses to guess."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hkd_edge.errors import RunDirectoryError
from hkd_edge.track.events import ArtefactEvent, EpochEvent, Event, StageEvent
from hkd_edge.track.record import METRICS_FILE, Record, read_events

T = "2026-01-02T03:04:05.678+00:00"
STAGE = StageEvent(T, "teach", "ab" * 8, "started")
EPOCH = EpochEvent(T, "teach", "ab" * 8, "concept", 1, 6, 0.1 + 0.2, {"größe ☃": 97.5}, 1.25, 862.1)
ARTEFACT = ArtefactEvent(T, "validate", "cd" * 8, "openvino", "int8", 450, 95.0, 0.2, 99.5, 1.5, 123, True)
EVENTS: list[Event] = [STAGE, EPOCH, ARTEFACT]


@pytest.fixture
def written(record: Record, tmp_path: Path) -> Path:
    for event in EVENTS:
        record.append(event)
    return tmp_path / METRICS_FILE


def test_events_are_read_as_they_were_written(written: Path) -> None:
    assert read_events(written) == EVENTS


def test_each_line_is_an_object_and_the_first_names_the_format(written: Path) -> None:
    head, stage, epoch, artefact = map(json.loads, written.read_text(encoding="utf-8").splitlines())
    assert (head["format"], head["format_version"]) == ("hkd-edge-metrics", 1)
    assert stage == {"event": "stage", "time": T, "stage": "teach", "key": "ab" * 8, "status": "started"}
    assert epoch["accuracies"] == {"größe ☃": 97.5}
    assert epoch.keys() == {
        *("event", "time", "stage", "key", "training", "epoch", "epochs"),
        *("loss", "accuracies", "seconds", "images_per_s"),
    }
    assert "p50_ms" not in artefact  # never null


def test_an_event_can_be_read_while_the_file_is_open(record: Record, tmp_path: Path) -> None:
    record.append(EPOCH)
    assert read_events(tmp_path / METRICS_FILE) == [EPOCH]


def test_a_kill_at_any_byte_loses_no_more_than_the_last_line(written: Path, tmp_path: Path) -> None:
    whole, torn = written.read_bytes(), tmp_path / "torn.jsonl"
    head, *_ = whole.partition(b"\n")
    last_two = len(b"".join(whole.splitlines(keepends=True)[:2]))
    for size in (*range(0, len(head) + 2, 20), len(head), len(head) + 1, *range(last_two, len(whole) + 1)):
        torn.write_bytes(whole[:size])
        kept = EVENTS[: max(whole[:size].count(b"\n") - 1, 0)]
        assert read_events(torn) == kept
        again = Record(torn)
        again.append(STAGE)
        again.close()
        assert read_events(torn) == [*kept, STAGE]
        assert torn.read_bytes().startswith(whole[: whole[:size].rfind(b"\n") + 1])


def test_zeros_that_a_power_cut_leaves_at_the_end_are_cut_off(written: Path) -> None:
    written.write_bytes(written.read_bytes() + bytes(100))
    Record(written).close()
    assert read_events(written) == EVENTS
    assert b"\0" not in written.read_bytes()


def test_a_process_killed_while_it_writes_leaves_whole_lines(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hkd_edge.track.record import Record\n"
        "from hkd_edge.track.events import StageEvent\n"
        "record, count = Record(Path(sys.argv[1])), 0\n"
        "while True:\n"
        "    record.append(StageEvent('t', 's', 'k' * 3000, 'done', float(count))); count += 1; print(flush=True)"
    )
    path = tmp_path / METRICS_FILE
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    Record(path).close()
    seconds = [event.seconds for event in read_events(path) if isinstance(event, StageEvent)]
    assert seconds == list(range(len(seconds)))
    assert len(seconds) >= 20


def test_what_holds_no_more_is_taken_out_and_the_rest_stays(written: Path, record: Record) -> None:
    assert record.discard(lambda event: isinstance(event, EpochEvent))
    record.append(EPOCH)
    assert read_events(written) == record.events == [STAGE, ARTEFACT, EPOCH]


def test_the_file_is_not_replaced_when_all_of_it_holds(written: Path, record: Record) -> None:
    before = written.stat().st_ino
    assert not record.discard(lambda _: False)
    assert written.stat().st_ino == before


def test_a_number_that_is_not_finite_is_never_written(record: Record, written: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.append(StageEvent(T, "teach", "k", "done", float("nan")))
    assert read_events(written) == EVENTS


def test_a_missing_file_holds_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r"jsonl:3: expected hkd-edge-metrics 1, got no event \(stage, epoch, artefact\)"),
        ('{"event": "stag"}', r"jsonl:3: .* got no event"),
        ('{"event": "stage", "time": "t", "stage": "s", "key": "k", "status": "gone"}', r"jsonl:3: .*status: expected"),
        ('{"event": "stage", "time": "t"}', r"jsonl:3: .* got stage: missing\. key: missing\."),
    ],
)
def test_damage_within_the_file_is_refused_with_its_line(written: Path, line: str, told: str) -> None:
    lines = written.read_text(encoding="utf-8").splitlines()
    lines[2] = line
    written.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=told) as caught:
        Record(written)
    assert str(caught.value).endswith("move it away and go on by --resume.")


@pytest.mark.parametrize("head", ["{}", "[]", '{"format": "hkd-edge-metrics", "format_version": 2}'])
def test_a_file_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path, head: str) -> None:
    path = tmp_path / METRICS_FILE
    path.write_text(head + "\ntorn")
    with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl:1: expected hkd-edge-metrics 1, got"):
        Record(path)
    assert path.read_text() == head + "\ntorn"
