"""A stage runs when something that its result depends on has changed, and only then."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run import stage as stage_module
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage, Stamp, code_digest, digest, run_stage


class Counter:
    """A stage that writes `text` into the file result.txt and counts its runs."""

    def __init__(self, context: Context, needs: tuple[str, ...] = (), name: str = "count") -> None:
        self.runs = 0
        self.inputs: dict[str, Any] = {"a": 1}
        self.stage = Stage(name, lambda _: self.inputs, needs, ("errors",), self._run)
        self._context = context

    def __call__(self, upstream: dict[str, Stamp] | None = None) -> Stamp:
        return run_stage(self.stage, self._context, upstream or {})

    def _run(self, context: Context, key: str) -> Iterable[Path]:
        self.runs += 1
        path = context.run / f"{self.stage.name}.txt"
        path.write_text(str(self.inputs))
        return [path]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(load_recipe("digits"), tmp_path, Reporter(Console(quiet=True)))


def test_a_stage_runs_once(context: Context) -> None:
    counter = Counter(context)
    assert counter() == counter()
    assert counter.runs == 1


def test_changed_inputs_run_it_again(context: Context) -> None:
    counter = Counter(context)
    first = counter()
    counter.inputs = {"a": 2}
    assert counter().key != first.key
    assert counter.runs == 2


def test_a_damaged_result_is_made_again(context: Context) -> None:
    counter = Counter(context)
    counter()
    (context.run / "count.txt").write_text("damaged")
    counter()
    assert counter.runs == 2


def test_a_missing_result_is_made_again(context: Context) -> None:
    counter = Counter(context)
    counter()
    (context.run / "count.txt").unlink()
    counter()
    assert counter.runs == 2


@pytest.mark.parametrize("stamp", ["", "{", "[]", '{"key": 1}'])
def test_a_damaged_stamp_counts_as_not_done(context: Context, stamp: str) -> None:
    counter = Counter(context)
    counter()
    (context.run / "stages" / "count.json").write_text(stamp)
    counter()
    assert counter.runs == 2


def test_changed_files_of_an_earlier_stage_run_a_later_one_again(context: Context) -> None:
    later = Counter(context, needs=("early",), name="late")
    for sha in ("1", "1", "2"):
        later({"early": Stamp("k", {"weights.pt": sha}, 0.0)})
    assert later.runs == 2


def test_metrics_of_an_earlier_stage_do_not(context: Context) -> None:
    later = Counter(context, needs=("early",), name="late")
    for sha in ("1", "2"):
        later({"early": Stamp("k", {"teacher/metrics.json": sha}, 0.0)})
    assert later.runs == 1


def test_changed_source_code_runs_it_again(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(context)
    counter()
    monkeypatch.setattr(stage_module, "code_digest", lambda room: "other")
    counter()
    assert counter.runs == 2


def test_a_stage_that_fails_leaves_no_stamp(context: Context) -> None:
    def fail(context: Context, key: str) -> Iterable[Path]:
        raise RuntimeError("broken")

    failing = Stage("count", lambda _: {}, (), (), fail)
    Counter(context)()
    with pytest.raises(RuntimeError, match="broken"):
        run_stage(failing, context, {})
    assert not (context.run / "stages" / "count.json").exists()


def test_code_digests_cover_rooms_modules_and_sibling_packages() -> None:
    digests = {room: code_digest(room) for room in ("data", "distill/cache", "errors", "hkd_edge_runtime")}
    assert len(set(digests.values())) == 4


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
