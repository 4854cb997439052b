"""Runs the cells of a study that are not done yet, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hkd_edge.errors import HkdEdgeError, RunDirectoryError, TrainingError
from hkd_edge.run.directory import hold_run
from hkd_edge.study.cells import CellResult, read_result, read_trial
from hkd_edge.study.load import Plan
from hkd_edge.study.progress import Progress, Result, Tell
from hkd_edge.study.work import Job, job_of, run_cell, run_trial, train_concept_teacher, train_teachers
from hkd_edge_runtime.files import write_bytes_atomically

STUDY_FILE = "study.yaml"


@contextmanager
def open_study(folder: Path, text: bytes, *, resume: bool) -> Iterator[None]:
    """Holds the study's folder against other processes, with a copy of its file in it.

    Raises:
        RunDirectoryError: if it holds a study and `resume` is not set, or something else, or is in use.
    """
    _check_existing(folder, resume=resume)
    with hold_run(folder):
        write_bytes_atomically(folder / STUDY_FILE, text)
        yield


def run_cells(plan: Plan, folder: Path, jobs: int, tell: Tell) -> list[CellResult]:
    """The results of all cells of `plan`, in its order: those that are done are read, the others are run.

    `jobs` processes share the processor's threads. `tell` is told a line for each teacher and each cell that is done.

    Raises:
        TrainingError: at the end, if cells failed; the others are done.
    """
    jobs_of_cells = [job_of(folder, planned) for planned in plan.cells]
    results = run_jobs(jobs_of_cells, jobs, tell)
    return [result for job in jobs_of_cells if isinstance(result := results[job], CellResult)]


def run_jobs(all_jobs: Sequence[Job], processes: int, tell: Tell) -> dict[Job, Result]:
    """The results of `all_jobs`, cells or trials, in `processes`; those that are done are read.

    Raises:
        TrainingError: at the end, if some failed; the others are done.
    """
    done = {job: result for job in all_jobs if (result := finished(job)) is not None}
    waiting = [job for job in all_jobs if job not in done]
    progress = Progress(len(all_jobs), len(done), tell)
    failed: dict[str, str] = {}
    for job, outcome in _in_turn(waiting, progress) if processes == 1 else _in_processes(waiting, processes, progress):
        if isinstance(outcome, HkdEdgeError):
            failed[job.planned.cell.title] = str(outcome)
            progress.failed(job.planned.cell.title, outcome)
        else:
            done[job] = outcome
            progress.done(job.planned.cell.title, outcome)
    if failed:
        raise TrainingError(_all_failed(failed))
    return done


def finished(job: Job) -> Result | None:
    """The result of a job that was made by the same recipe and source; None if there is none."""
    result = read_trial(job.result_file) if job.trial else read_result(job.result_file)
    return result if result is not None and result.key == job.key else None


def _run(job: Job) -> Result:
    return run_trial(job) if job.trial else run_cell(job)


Outcomes = Iterator[tuple[Job, "Result | HkdEdgeError"]]


def _grouped(jobs: Iterable[Job], by: str) -> list[list[Job]]:
    """The jobs of which the attribute `by` is the same, together."""
    groups = defaultdict(list)
    for job in jobs:
        groups[getattr(job, by)].append(job)
    return list(groups.values())


def _in_turn(jobs: list[Job], progress: Progress) -> Outcomes:
    groups = _grouped(jobs, "teachers")
    progress.expect_teachers(len(groups))
    for group in groups:
        try:
            train_concept_teacher(group[0])
            train_teachers(group[0])
        except HkdEdgeError as error:
            yield from ((job, error) for job in group)
            continue
        progress.taught()
        for job in group:
            try:
                yield job, _run(job)
            except HkdEdgeError as error:
                yield job, error


def _in_processes(jobs: list[Job], processes: int, progress: Progress) -> Outcomes:
    """Cells as they are done; those of one group wait for their teachers, which another group's cells need not.

    What one part of a group waits for is trained by one process, whoever else waits for it.
    """
    threads = max(1, (os.cpu_count() or 1) // processes)
    progress.expect_teachers(sum(len(_grouped(jobs, by)) for by in ("concept_teacher", "teachers")))
    with _environment(OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE"), _pool(processes, threads) as pool:
        conceiving = {
            pool.submit(train_concept_teacher, group[0]): group for group in _grouped(jobs, "concept_teacher")
        }
        teaching: dict[Future[Any], list[Job]] = {}
        training: dict[Future[Any], Job] = {}
        while conceiving or teaching or training:
            ended, _ = wait([*conceiving, *teaching, *training], return_when=FIRST_COMPLETED)
            for future in ended:
                outcome = _outcome(future)
                if future in training:
                    yield training.pop(future), outcome
                    continue
                concept = future in conceiving
                group = (conceiving if concept else teaching).pop(future)
                if isinstance(outcome, HkdEdgeError):
                    yield from ((job, outcome) for job in group)
                    continue
                progress.taught()
                if concept:
                    teaching |= {
                        _submitted(pool, train_teachers, same[0]): same for same in _grouped(group, "teachers")
                    }
                else:
                    training |= {_submitted(pool, _run, job): job for job in group}


def _submitted(pool: ProcessPoolExecutor, work: Callable[[Job], Any], job: Job) -> Future[Any]:
    try:
        return pool.submit(work, job)
    except BrokenProcessPool as error:
        broken: Future[Any] = Future()
        broken.set_exception(error)
        return broken


def _outcome(future: Future[Any]) -> Any:
    try:
        return future.result()
    except HkdEdgeError as error:
        return error
    except BrokenProcessPool:
        return TrainingError("expected the process to train it, got its end (out of memory?). Lower --jobs.")


@contextmanager
def _pool(processes: int, threads: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")  # a fork would take torch's threads over half
    pool = ProcessPoolExecutor(processes, context, initializer=_begin_worker, initargs=(threads,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(threads: int) -> None:
    import signal

    import torch

    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the worker at once, without a traceback of its own
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed must not hold cells that a resumed study wants."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Sets variables for the processes that are started within; what the user has set stays."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _all_failed(failed: dict[str, str]) -> str:
    lines = "\n".join(f"  {title}: {text}" for title, text in failed.items())
    return f"expected every cell to be trained, got {len(failed)} that failed; go on by --resume:\n{lines}"


def _check_existing(folder: Path, *, resume: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunDirectoryError(f"{folder}: expected a study's folder, got a file. Name another by -o.")
    entries = {entry.name for entry in folder.iterdir()} - {".lock"}
    if entries and STUDY_FILE not in entries:
        raise RunDirectoryError(
            f"{folder}: expected a study's folder or an empty one, got a folder with other files "
            f"({', '.join(sorted(entries)[:3])}). Nothing was touched. Name another by -o."
        )
    if entries and not resume:
        raise RunDirectoryError(
            f"{folder}: expected no study yet, got one. Go on with it by --resume (cells that are done are kept) "
            "or name another folder by -o."
        )
