from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from hkd_edge.concepts.suggest import suggest
from hkd_edge.distill.saved import save_student
from hkd_edge.errors import RunDirectoryError
from hkd_edge.grouping.of_run import evidence_of_run
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.stages.distill import export_spec
from hkd_edge.stages.foreign import images_of
from hkd_edge.stages.teach import build_network
from hkd_edge.teachers.saved import SavedTeacher, save_teacher

_TASK_TEACHER = (
    "task_teacher={architecture: {stem_width: 8, widths: [8], blocks: [0]}, "
    "training: {epochs: 1, batch_size: 64, learning_rate: 0.1}}"
)


def begun(run: Path, *overrides: str) -> Context:
    """A run of the digits whose images are split."""
    recipe = load_recipe("digits", overrides)
    reporter = Reporter(Console(file=io.StringIO()))
    run_pipeline(recipe, run, reporter, until="concepts")
    return Context(recipe, run, reporter)


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A run whose student knows nothing: its answers are as real as any, and take no training."""
    context = begun(tmp_path / "run")
    student = build_network(context, "student", context.recipe.student.architecture, 10)
    (context.run / "student").mkdir()
    save_student(context.run / "student/student.pt", student, context.recipe.student.architecture, export_spec(context))
    return context.run


def by_hand(context: Context, network: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Confusions and mean embeddings, image by image from the definition."""
    held_out = np.load(context.run / "data/split.npz")["validation"]
    facts = json.loads((context.run / "data/data.json").read_text())
    confusions, embeddings = np.zeros((10, 10)), np.zeros((10, network.embedding_size))
    labels = context.dataset.train.labels[held_out]
    network.eval()
    with torch.inference_mode():
        for image, label in zip(context.dataset.train.images[held_out], labels, strict=True):
            scaled = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - facts["mean"][0]) / facts["std"][0]
            count = (labels == label).sum()
            embeddings[label] += network.embed(scaled)[0].numpy() / count
            confusions[label] += network(scaled)[0].softmax(0).numpy() / count
    return confusions, embeddings


def test_a_student_is_asked_about_the_validation_images(untrained):
    context = Context(load_recipe("digits"), untrained, Reporter(Console(file=io.StringIO())))
    network = build_network(context, "student", context.recipe.student.architecture, 10)
    found = evidence_of_run(untrained)
    confusions, embeddings = by_hand(context, network)
    np.testing.assert_allclose(found.confusions, confusions, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, embeddings, atol=1e-4)
    assert found.source.startswith("what the student of run digits says of its 269 validation images (")
    assert len(suggest(found, groups=[4]).axes[0].groups) == 4
    assert found.cautions == (
        "this student was taught the concepts that its recipe has, and so tends to confirm them.",
    )


def test_a_task_teacher_is_asked_before_the_student(tmp_path):
    context = begun(tmp_path / "run", _TASK_TEACHER)
    assert context.recipe.task_teacher is not None
    teacher = build_network(context, "task", context.recipe.task_teacher.architecture, 10)
    (context.run / "teacher").mkdir()
    settings = context.recipe.task_teacher
    saved = SavedTeacher(
        "task", context.hierarchy(), images_of(context), settings.architecture, None, teacher.state_dict()
    )
    save_teacher(context.run / "teacher/task.pt", saved)
    found = evidence_of_run(context.run)
    assert found.source.startswith("what the task teacher of run digits says")
    np.testing.assert_allclose(found.confusions, by_hand(context, teacher)[0], atol=1e-5)
    assert found.cautions == ()


@pytest.mark.parametrize(
    ("override", "network", "file"),
    [("seed=0", "student", "student/student.pt"), (_TASK_TEACHER, "task teacher", "teacher/task.pt")],
)
def test_a_run_without_its_network_is_told_what_to_run(tmp_path, override, network, file):
    run = begun(tmp_path / "run", override).run
    with pytest.raises(RunDirectoryError) as caught:
        evidence_of_run(run)
    assert str(caught.value) == (
        f"{run}: expected a run whose {network} is trained, got one without {file}. Run first: hkd-edge distill {run}"
    )


def test_other_images_than_the_run_s_are_refused(untrained):
    facts = json.loads((untrained / "data/data.json").read_text())
    (untrained / "data/data.json").write_text(json.dumps(facts | {"fingerprint": "ab" * 32}))
    with pytest.raises(RunDirectoryError, match=r"expected the images that the run was made of \(abababababab\), got"):
        evidence_of_run(untrained)
