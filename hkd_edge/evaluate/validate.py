"""Validates artefacts, of a run or of a bundle, from the very files that ship: answers, cost, gates, verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from hkd_edge.evaluate.accuracy import agreement_percent, measure_accuracy, measure_difference
from hkd_edge.evaluate.artefacts import Artefact, answer, runs_here
from hkd_edge.evaluate.gates import accuracy_gates, cost_gates, cross_gates, nothing_compared, speed_gates
from hkd_edge.evaluate.machine import this_machine
from hkd_edge.evaluate.result import Cross, Difference, Gate, Reference, Row, Validation
from hkd_edge.evaluate.rows import Answers, Cost, make_arrays, make_row
from hkd_edge.evaluate.subject import ReferenceAnswers, Subject, fingerprint
from hkd_edge.evaluate.timing import time_artefacts
from hkd_edge.evaluate.verdict import Measured, Verdict, judge
from hkd_edge.recipe.delivery import Validate
from hkd_edge_runtime.cold import measure_file_start

Work = Callable[[str, int, int], None]


def validate(
    subject: Subject, limits: Validate, work: Work, *, speed_fails: bool = False
) -> tuple[Validation, dict[str, NDArray[Any]]]:
    """The validation of `subject` and the arrays of `answers.npz`.

    `work` is told of what is at hand, done and total; `speed_fails` is the `fails` of `speed_gates`.

    Raises:
        HkdEdgeError: if an artefact cannot be opened, or does not answer.
    """
    answers = {artefact: _answer(subject, artefact, work) for artefact in subject.artefacts}
    reference = subject.reference or _first_float(answers)
    costs = _costs(subject, limits, work)
    compared = {artefact: _compare(subject, reference, each) for artefact, each in answers.items()}
    gates = _accuracy_gates(subject, compared, limits)
    verdicts = _verdicts(subject, gates, costs, limits)
    rows = tuple(
        make_row(
            subject,
            artefact,
            answers[artefact],
            compared[artefact],
            costs[artefact],
            verdicts[artefact],
            limits.selective,
        )
        for artefact in subject.artefacts
    )
    cross = _cross_agreement(answers)
    judged = (
        *subject.findings,
        *nothing_compared(rows, len(subject.test)),
        *(gate for each in gates.values() for gate in each),
        *cross_gates(cross, limits),
        *speed_gates(rows, limits, fails=speed_fails),
        *cost_gates(rows, limits),
        *_nothing_ships(rows),
    )
    validation = Validation(
        name=subject.name,
        subject=subject.kind,
        images=subject.images,
        fingerprint=fingerprint(subject.test),
        hierarchy=subject.hierarchy,
        reference=_reference(subject, reference),
        rows=rows,
        cross_agreement=cross,
        gates=judged,
        verdict="failed" if any(gate.status == "failed" for gate in judged) else "passed",
        machine=this_machine([artefact.target for artefact in subject.artefacts], limits.threads),
        parameters=subject.parameters,
    )
    return validation, make_arrays(subject, reference, rows, answers, costs)


def failure(validation: Validation) -> str:
    """What a failed validation is told by: each failed gate with what was expected and what was measured."""
    lines = [
        f"{gate.subject}: {gate.name}: expected {gate.expected}, got {gate.measured}"
        + (f" ({gate.images})." if gate.images else ".")
        for gate in validation.failed_gates
    ]
    return "\n".join([f"expected all gates to hold, got {len(lines)} that failed.", *lines])


def _answer(subject: Subject, artefact: Artefact, work: Work) -> Answers:
    title = f"{artefact.target} {artefact.precision}"
    choice = subject.choice
    return Answers(
        answer(artefact, subject.test.images, lambda done, n: work(f"{title}, test images", done, n)),
        answer(artefact, choice.images, lambda done, n: work(f"{title}, validation images", done, n))
        if choice
        else None,
        answer(artefact, subject.test.images, forced_f32=False) if _may_choose_precision(artefact) else None,
    )


def _may_choose_precision(artefact: Artefact) -> bool:
    """Whether the runtime may compute floats in less than fp32 unless told otherwise, as OpenVINO does in bf16."""
    return artefact.target == "openvino" and artefact.precision != "int8"


def _first_float(answers: Mapping[Artefact, Answers]) -> ReferenceAnswers:
    artefact = next((each for each in answers if each.precision == "fp32"), next(iter(answers)))
    return ReferenceAnswers(f"{artefact.target} {artefact.precision}", answers[artefact].test)


def _accuracy_gates(
    subject: Subject, compared: Mapping[Artefact, tuple[Difference, Difference | None]], limits: Validate
) -> dict[Artefact, list[Gate]]:
    """The gates on each artefact's answers to the images that choose, or to the test images where there are none."""
    judges = (len(subject.choice), "validation") if subject.choice else (len(subject.test), "test")
    return {
        artefact: accuracy_gates(
            f"{artefact.target} {artefact.precision}", artefact.precision, choice or test, limits, judges
        )
        for artefact, (test, choice) in compared.items()
    }


def _compare(subject: Subject, reference: ReferenceAnswers, answers: Answers) -> tuple[Difference, Difference | None]:
    """The differences to the reference on the test and on the validation images."""
    classes, choice = subject.hierarchy.classes, None
    if subject.choice and answers.choice and reference.choice:
        choice = measure_difference(answers.choice.logits, reference.choice.logits, subject.choice.labels, classes)
    test = measure_difference(answers.test.logits, reference.test.logits, subject.test.labels, classes)
    return test, choice


def _costs(subject: Subject, limits: Validate, work: Work, *, speed_fails: bool = False) -> dict[Artefact, Cost]:
    timed = [artefact for artefact in subject.artefacts if runs_here(artefact.target)]
    seconds = time_artefacts(
        timed,
        subject.test.images,
        runs=limits.latency_runs,
        threads=limits.threads,
        batches=limits.batches,
        on_batch=lambda batch: work(f"latency of {batch} image(s), artefacts in turn", 0, 1),
    )
    costs = dict.fromkeys(subject.artefacts, Cost())
    for done, (artefact, each) in enumerate(zip(timed, seconds, strict=True)):
        work("cold starts", done, len(timed))
        start = measure_file_start(artefact.target, artefact.path, threads=limits.threads, starts=limits.starts)
        costs[artefact] = Cost(each, start)
    return costs


def _verdicts(
    subject: Subject,
    gates: Mapping[Artefact, Sequence[Gate]],
    costs: Mapping[Artefact, Cost],
    limits: Validate,
) -> dict[Artefact, Verdict]:
    faults = {artefact: _fault(each) for artefact, each in gates.items()}
    if subject.promises:
        return {
            artefact: Verdict(not faults[artefact], promise.shipped, faults[artefact] or promise.reason)
            for artefact, promise in subject.promises.items()
        }
    measured = [
        Measured(artefact.target, artefact.precision, fault, costs[artefact].p50_ms)
        for artefact, fault in faults.items()
    ]
    return dict(zip(faults, judge(measured, int8_must_be_faster=limits.int8_must_be_faster), strict=True))


def _fault(gates: Sequence[Gate]) -> str:
    """What is wrong with an artefact's answers, or an empty text."""
    failed = [gate for gate in gates if gate.status == "failed"]
    return "; ".join(f"expected {gate.expected}, got {gate.measured}" for gate in failed)


def _reference(subject: Subject, reference: ReferenceAnswers) -> Reference:
    choice = None
    if subject.choice and reference.choice:
        choice = measure_accuracy(reference.choice, subject.choice.labels, subject.hierarchy)
    test = measure_accuracy(reference.test, subject.test.labels, subject.hierarchy)
    return Reference(reference.title, test, choice)


def _cross_agreement(answers: Mapping[Artefact, Answers]) -> tuple[Cross, ...]:
    """On how many of the test images two targets answer alike, for each precision that several have."""
    items = list(answers.items())
    return tuple(
        Cross(
            artefact.precision,
            (artefact.target, other.target),
            agreement_percent(one.test.logits, another.test.logits),
        )
        for first, (artefact, one) in enumerate(items)
        for other, another in items[first + 1 :]
        if artefact.precision == other.precision
    )


def _nothing_ships(rows: Sequence[Row]) -> list[Gate]:
    """A failed gate for each target of this machine of which nothing ships."""
    here = dict.fromkeys(row.target for row in rows if runs_here(row.target))
    without = [target for target in here if not any(row.shipped for row in rows if row.target == target)]
    return [Gate("something_ships", target, "failed", "an artefact good enough to ship", "none") for target in without]
