from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from hkd_edge.distill.fake_quant import insert_fake_quant, remove_fake_quant
from hkd_edge_export.accuracy_control import NothingQuantizedError, quantize_with_accuracy_control
from hkd_edge_export.errors import ExportError
from hkd_edge_export.ladder import Candidate, LadderResult, Rung, Score, Trial, climb
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.to_onnx import to_onnx
from tests.export.hard_case import (
    RESIDUAL,
    fine_tune,
    rescale_channels,
    resident_digits,
    spec_of,
    trained_student,
)

REFERENCE = Score(90.0, 1000)


def writes(top1: float) -> Callable[[Path], Path]:
    """A `make` whose file says its own top-1."""

    def make(out: Path) -> Path:
        out.write_text(str(top1), encoding="utf-8")
        return out

    return make


def fails(error: Exception) -> Callable[[Path], Path]:
    def make(out: Path) -> Path:
        out.write_text("half a file", encoding="utf-8")
        raise error

    return make


def rung(name: str, **candidates: float | Exception) -> Rung:
    makers = {key: fails(value) if isinstance(value, Exception) else writes(value) for key, value in candidates.items()}
    return Rung(name, tuple(Candidate(key, make) for key, make in makers.items()))


def climb_fakes(out: Path, *rungs: Rung, max_drop: float = 0.5, **keywords) -> LadderResult:
    def score(file: Path) -> Score:
        return Score(float(file.read_text(encoding="utf-8")), 1000)

    keywords = {"layers_in_float": lambda file: ("head",), **keywords}
    return climb(rungs, score, REFERENCE, out, max_drop=max_drop, **keywords)


def reasons(result: LadderResult) -> dict[str, str]:
    return {trial.candidate: trial.reason for trial in result.trials}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "int8.onnx"


def test_the_first_rung_within_the_limit_is_taken_and_no_further_one_is_tried(out: Path) -> None:
    dear = rung("qat", trained=AssertionError("tried"))
    result = climb_fakes(out, rung("ptq", plain=80.0), rung("control", some=89.6), dear)
    assert [trial.candidate for trial in result.trials] == ["plain", "some"]
    assert result.chosen is not None
    assert (result.chosen.rung, result.chosen.candidate) == ("control", "some")
    assert out.read_text() == "89.6"


def test_the_best_candidate_stands_for_its_rung(out: Path) -> None:
    result = climb_fakes(out, rung("ptq", plain=89.6, corrected=89.9, clipped=70.0))
    assert out.read_text() == "89.9"
    assert reasons(result) == {
        "plain": "lost 0.40 points; corrected is at least as good",
        "corrected": "lost 0.10 points, of 0.5 allowed",
        "clipped": "lost 20.00 points, expected to lose at most 0.5",
    }


def test_of_equals_the_first_is_taken(out: Path) -> None:
    result = climb_fakes(out, rung("ptq", plain=89.8, corrected=89.8))
    assert result.chosen is not None
    assert result.chosen.candidate == "plain"


def test_a_file_better_than_the_reference_has_won_points(out: Path) -> None:
    result = climb_fakes(out, rung("ptq", plain=90.25), max_drop=0.0)
    assert reasons(result) == {"plain": "won 0.25 points, of 0 allowed"}


def test_a_file_with_a_fault_is_never_chosen_however_little_it_lost(out: Path) -> None:
    def score(file: Path) -> Score:
        top1 = float(file.read_text(encoding="utf-8"))
        return Score(top1, 1000, "it answers otherwise" if top1 == 90.0 else "")

    result = climb(
        [rung("ptq", faulty=90.0, sound=89.7)], score, REFERENCE, out, max_drop=0.5, layers_in_float=lambda file: ()
    )
    assert result.chosen is not None
    assert result.chosen.candidate == "sound"
    assert reasons(result)["faulty"] == "lost 0.00 points, but it answers otherwise"


def test_without_a_sound_file_there_is_none(out: Path) -> None:
    result = climb(
        [rung("ptq", plain=90.0)],
        lambda file: Score(90.0, 1000, "it answers otherwise"),
        REFERENCE,
        out,
        max_drop=0.5,
        layers_in_float=lambda file: (),
    )
    assert result.chosen is None
    assert not out.exists()


def test_a_drop_of_just_the_limit_is_allowed(out: Path) -> None:
    result = climb_fakes(out, rung("ptq", plain=89.9), max_drop=0.1)  # 90 - 89.9 > 0.1 in binary
    assert result.chosen is not None


def test_when_no_rung_suffices_there_is_no_file_not_even_an_older_one(out: Path) -> None:
    out.write_text("from an older run")
    result = climb_fakes(out, rung("ptq", plain=80.0, corrected=81.0), rung("qat", trained=85.0))
    assert result.chosen is None
    assert reasons(result)["corrected"] == "lost 9.00 points, expected to lose at most 0.5"
    assert list(out.parent.iterdir()) == []


def test_rejected_files_and_what_scoring_leaves_are_gone(out: Path) -> None:
    def score(file: Path) -> Score:
        file.with_suffix(".bin").write_text("weights of OpenVINO")
        return Score(float(file.read_text()), 1000)

    rungs = [rung("ptq", plain=80.0, corrected=89.0), rung("control", some=90.0)]
    climb(rungs, score, REFERENCE, out, max_drop=0.5, layers_in_float=lambda file: ())
    assert list(out.parent.iterdir()) == [out]


def test_what_a_way_that_comes_to_nothing_says_is_its_reason(out: Path) -> None:
    nothing = NothingQuantizedError("all 9 layers went back to float.")
    result = climb_fakes(out, rung("control", some=nothing), rung("qat", trained=89.9))
    assert result.trials[0].reason == "all 9 layers went back to float."
    assert (result.trials[0].top1, result.trials[0].drop, result.trials[0].chosen) == (None, None, False)
    assert out.read_text() == "89.9"


def test_a_rung_survives_that_one_of_its_candidates_comes_to_nothing(out: Path) -> None:
    result = climb_fakes(out, rung("ptq", first=NothingQuantizedError("nothing"), second=89.9))
    assert result.chosen is not None
    assert result.chosen.candidate == "second"


def test_other_errors_are_raised_and_an_older_file_stays(out: Path) -> None:
    out.write_text("from an older run")
    with pytest.raises(ExportError, match="a broken file"):
        climb_fakes(out, rung("ptq", plain=ExportError("a broken file")), rung("qat", trained=90.0))
    assert out.read_text() == "from an older run"
    assert list(out.parent.iterdir()) == [out]


def test_the_caller_may_name_the_errors_that_go_on_to_the_next_way(out: Path) -> None:
    result = climb_fakes(
        out, rung("qat", trained=ExportError("loss is NaN")), rung("later", file=90.0), gives_up=(ExportError,)
    )
    assert reasons(result) == {"trained": "loss is NaN", "file": "lost 0.00 points, of 0.5 allowed"}


def test_every_trial_says_what_it_cost_and_which_layers_are_in_float(out: Path) -> None:
    trial = climb_fakes(out, rung("ptq", plain=89.75)).trials[0]
    assert (trial.top1, trial.drop, trial.float_layers) == (89.75, 0.25, ("head",))
    assert trial.seconds > 0


def test_the_result_is_json(out: Path) -> None:
    result = climb_fakes(out, rung("control", some=NothingQuantizedError("no")), rung("qat", trained=89.9))
    told = json.loads(json.dumps(asdict(result), allow_nan=False))
    assert told["reference"] == {"top1": 90.0, "images": 1000, "fault": ""}
    assert [trial["chosen"] for trial in told["trials"]] == [False, True]


def test_each_candidate_is_told_once_its_rung_is_judged(out: Path) -> None:
    told: list[Trial] = []
    result = climb_fakes(out, rung("ptq", plain=80.0, other=81.0), rung("qat", trained=90.0), on_trial=told.append)
    assert tuple(told) == result.trials


def test_scores_on_other_images_are_not_compared(out: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"ptq, plain: expected a score on the 1000 images of the reference, got one on 500\. Only the same",
    ):
        climb([rung("ptq", plain=90.0)], lambda file: Score(90.0, 500), REFERENCE, out, max_drop=0.5)


@pytest.mark.parametrize("top1", [float("nan"), -1.0, 100.5])
def test_a_score_is_a_percentage(top1: float) -> None:
    with pytest.raises(ValueError, match=r"top1: expected a percentage, got "):
        Score(top1, 10)


def test_a_score_on_no_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"images: expected at least 1, got 0\. Nothing was compared\."):
        Score(50.0, 0)


@pytest.mark.parametrize("max_drop", [-0.5, float("nan"), float("inf")])
def test_the_limit_is_a_number_of_points(out: Path, max_drop: float) -> None:
    with pytest.raises(ValueError, match=r"max_drop: expected a number of points >= 0, got "):
        climb_fakes(out, rung("ptq", plain=90.0), max_drop=max_drop)


def test_rungs_have_candidates(out: Path) -> None:
    with pytest.raises(ValueError, match=r"ptq: expected candidates of different names, got none\."):
        climb_fakes(out, Rung("ptq", ()))


def test_names_of_candidates_do_not_repeat(out: Path) -> None:
    twice = Rung("ptq", (Candidate("plain", writes(90.0)), Candidate("plain", writes(90.0))))
    with pytest.raises(ValueError, match=r"ptq: expected candidates of different names, got plain, plain\."):
        climb_fakes(out, twice)


def test_names_of_rungs_do_not_repeat(out: Path) -> None:
    with pytest.raises(ValueError, match=r"rungs: expected different names, got ptq, ptq\."):
        climb_fakes(out, rung("ptq", one=90.0), rung("ptq", other=90.0))


@pytest.mark.slow
@pytest.mark.parametrize("first_dear_way", ["accuracy control", "fake quantization"])
def test_a_network_that_collapses_in_int8_is_brought_back(tmp_path: Path, first_dear_way: str) -> None:
    data = resident_digits()
    spec, checkpoint = spec_of(data), tmp_path / "checkpoint.pt"
    hard = rescale_channels(trained_student(data, RESIDUAL, checkpoint), 5, 0)
    fp32 = to_onnx(hard, spec, tmp_path / "fp32.onnx")
    images, labels = data.validation.images.numpy(), data.validation.labels.numpy()
    calibration = data.train.images[:200].numpy()

    def score(file: Path) -> Score:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        right = session.run(["logits"], {"images": images})[0].argmax(1) == labels
        return Score(100 * float(np.mean(right)), len(labels))

    def controlled(out: Path) -> Path:
        return quantize_with_accuracy_control(
            fp32, out, calibration, lambda file: score(file).top1, max_drop=1.0, bias_correction=False
        ).path

    def trained(out: Path) -> Path:
        student = insert_fake_quant(hard, [data.normalize(data.train.images[:200])])
        fine_tune(student, data, tmp_path / "qat.pt", epochs=1, learning_rate=0.01, teacher=hard)
        plain = to_onnx(remove_fake_quant(student, hard), spec, out.with_name("fp32.onnx"))
        return quantize_int8(plain, out, calibration, bias_correction=False)

    dear = {"accuracy control": controlled, "fake quantization": trained}
    ptq = [
        Candidate(f"bias correction {on}", lambda out, on=on: quantize_int8(fp32, out, calibration, bias_correction=on))
        for on in (False, True)
    ]
    rungs = [Rung("ptq", tuple(ptq)), Rung(first_dear_way, (Candidate("default", dear[first_dear_way]),))]
    result = climb(rungs, score, score(fp32), tmp_path / "int8.onnx", max_drop=1.0)
    assert all(trial.drop > 10 for trial in result.trials[:2])
    assert result.chosen is not None
    assert result.chosen.rung == first_dear_way
    assert bool(result.chosen.float_layers) == (first_dear_way == "accuracy control")
    assert score(tmp_path / "int8.onnx").top1 >= score(fp32).top1 - 1.0


def test_a_candidate_that_loses_next_to_nothing_ends_its_rung(tmp_path: Path) -> None:
    tried: list[str] = []

    def candidate(name: str) -> Candidate:
        def make(path: Path) -> Path:
            tried.append(name)
            path.write_text(name)
            return path

        return Candidate(name, make)

    scores = {"poor": Score(89.5, 100), "good": Score(89.95, 100), "best": Score(90.0, 100)}
    result = climb(
        [Rung("ptq", tuple(map(candidate, scores)))],
        lambda path: scores[path.read_text()],
        Score(90.0, 100),
        tmp_path / "int8.onnx",
        max_drop=1.0,
        enough=0.1,
        layers_in_float=lambda path: (),
    )
    assert tried == ["poor", "good"]
    assert result.chosen is not None
    assert result.chosen.candidate == "good"
