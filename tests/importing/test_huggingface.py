"""Data sets that the package `datasets` itself wrote become lists, without a network."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hkd_edge.cli import cli
from hkd_edge.data.listing import hierarchy_of
from hkd_edge.data.table import list_table
from hkd_edge.errors import DataError, MissingDependencyError
from hkd_edge.importing.huggingface import offline_package
from hkd_edge_runtime.packages import is_installed
from tests.data.drawn import CLASSES, KINDS, draw
from tests.importing.conftest import ImportImages

pytestmark = pytest.mark.skipif(
    not is_installed("datasets"), reason="the package datasets (hkd-edge[huggingface]) is not installed"
)
KIND_OF = {label: kind for kind, labels in KINDS.items() for label in labels}


@pytest.fixture(scope="session")
def package() -> Any:
    return offline_package()


def jpeg(label: str, seed: int) -> bytes:
    file = io.BytesIO()
    draw(label, seed, (24, 20)).save(file, "JPEG", quality=90)
    return file.getvalue()


def columns(first: int, each: int) -> dict[str, list[Any]]:
    """`each` pictures of the four classes, with a concept."""
    labels = [label for label in CLASSES for _ in range(each)]
    return {
        "image": [{"bytes": jpeg(label, first + n), "path": None} for n, label in enumerate(labels)],
        "label": [CLASSES.index(label) for label in labels],
        "kind": [KIND_OF[label] for label in labels],
    }


def features(package: Any, **others: Any) -> Any:
    known = {
        "image": package.Image(),
        "label": package.ClassLabel(names=list(CLASSES)),
        "kind": package.Value("string"),
    }
    return package.Features({**known, **others})


def part(package: Any, first: int = 0, each: int = 2, **changes: list[Any]) -> Any:
    return package.Dataset.from_dict({**columns(first, each), **changes}, features=features(package))


@pytest.fixture
def saved(package: Any, tmp_path: Path) -> Path:
    """Eight training and four test pictures, by `save_to_disk`."""
    package.DatasetDict({"train": part(package), "test": part(package, 50, 1)}).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


@pytest.fixture
def clone(package: Any, tmp_path: Path) -> Path:
    """The same as Parquet files in a repository."""
    (tmp_path / "clone/data").mkdir(parents=True)
    part(package).to_parquet(str(tmp_path / "clone/data/train-00000-of-00001.parquet"))
    part(package, 50, 1).to_parquet(str(tmp_path / "clone/data/test-00000-of-00001.parquet"))
    (tmp_path / "clone/README.md").write_text("---\n---\n")
    return tmp_path / "clone"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "list.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["saved", "clone"])
def test_files_have_the_bytes_that_the_data_set_has(
    form: str, request: pytest.FixtureRequest, tmp_path: Path, import_images: ImportImages
) -> None:
    result = import_images(request.getfixturevalue(form))
    assert result.exit_code == 0, result.output + repr(result.exception)
    for split, expected in (("train", columns(0, 2)), ("test", columns(50, 1))):
        found = [row for row in rows(tmp_path / "photos") if row["split"] == split]
        contents = [(tmp_path / "photos" / row["path"]).read_bytes() for row in found]
        assert contents == [image["bytes"] for image in expected["image"]]
        assert [row["class"] for row in found] == [CLASSES[label] for label in expected["label"]]
    assert found[0]["path"] == "images/test/ball/000001.jpg"


def test_concepts_become_axes_and_all_passes_data_check(
    saved: Path, tmp_path: Path, import_images: ImportImages
) -> None:
    assert import_images(saved, "--concept", "kind").exit_code == 0
    table = tmp_path / "photos/list.csv"
    assert hierarchy_of(list_table(table), CLASSES).to_dict()["axes"] == {
        "kind": {kind: sorted(labels) for kind, labels in KINDS.items()}
    }
    result = CliRunner().invoke(cli, ["data", "check", str(table), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["classes"], told["splits"]) == (dict.fromkeys(CLASSES, 3), {"train": 8, "test": 4})


def test_labels_kept_back_become_empty_classes_or_are_left_out_and_told(
    package: Any, tmp_path: Path, import_images: ImportImages
) -> None:
    hidden, kinds = [0, 0, 1, -1, 2, None, 3, -1], [*columns(0, 2)["kind"][:7], None]
    train = part(package, label=hidden, kind=kinds)
    parts = {"train": train, "test": part(package, 50, 1, label=[0, 1, 2, -1])}
    package.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    told = import_images(tmp_path / "saved", "--concept", "kind").stdout
    assert "images       10 of 4 classes, 2 of them without a class" in told
    assert "left out     1 with neither class nor concept, 1 of validation or test without a class" in told
    unlabelled = [row for row in rows(tmp_path / "photos") if not row["class"]]
    assert [(row["path"], row["kind"]) for row in unlabelled] == [
        ("images/train/_unlabelled/000001.jpg", KIND_OF[CLASSES[1]]),
        ("images/train/_unlabelled/000002.jpg", KIND_OF[CLASSES[2]]),
    ]
    assert len(list_table(tmp_path / "photos/list.csv").entries) == 10


def test_a_single_set_without_a_split_has_none_and_rows_without_image_are_told(
    package: Any, tmp_path: Path, import_images: ImportImages
) -> None:
    images = columns(0, 2)["image"]
    part(package, image=[None, *images[1:]]).save_to_disk(str(tmp_path / "saved"))
    assert "left out     1 without an image" in import_images(tmp_path / "saved").stdout
    assert {row["split"] for row in rows(tmp_path / "photos")} == {""}


def test_arrays_are_written_as_png(package: Any, tmp_path: Path, import_images: ImportImages) -> None:
    arrays = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    kinds = features(package, image=package.Array3D(shape=(5, 6, 3), dtype="uint8"))
    table = {**columns(0, 1), "image": list(arrays)}
    package.Dataset.from_dict(table, features=kinds).save_to_disk(str(tmp_path / "saved"))
    assert import_images(tmp_path / "saved").exit_code == 0
    written = [np.asarray(Image.open(tmp_path / "photos" / row["path"])) for row in rows(tmp_path / "photos")]
    np.testing.assert_array_equal(written, arrays)


def test_parquet_of_other_tools_needs_the_label_named(tmp_path: Path, import_images: ImportImages) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    (tmp_path / "other").mkdir()
    parquet.write_table(pa.table(columns(0, 1)), tmp_path / "other/train.parquet")
    result = import_images(tmp_path / "other")
    assert isinstance(result.exception, DataError)
    assert "expected one column of class labels, got none among image (dict), label (int64), kind (string)" in str(
        result.exception
    )
    assert import_images(tmp_path / "other", "--label", "label").exit_code == 0
    assert [row["class"] for row in rows(tmp_path / "photos")] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--label", "labl"), "kind (string), got labl. Did you mean 'label'? Name another."),
        (("--image", "kind"), "expected a column of images, of bytes or of uint8 arrays, got string"),
        (("--label", "image"), "expected column image to be of labels, texts or whole numbers, got Image"),
        (
            ("--concept", "label"),
            "expected one column of class labels, got none among image (Image), label (ClassLabel)",
        ),
        (("--classes", "x.txt"), "expected --classes with idx files only"),
    ],
)
def test_wrong_columns_are_refused(
    saved: Path, tmp_path: Path, import_images: ImportImages, arguments: tuple[str, ...], message: str
) -> None:
    result = import_images(saved, *arguments)
    assert isinstance(result.exception, DataError)
    assert message in str(result.exception)
    assert [file.name for file in tmp_path.iterdir()] == ["saved"]


def test_columns_with_a_meaning_in_lists_are_no_concepts(
    package: Any, tmp_path: Path, import_images: ImportImages
) -> None:
    part(package).rename_column("kind", "group").save_to_disk(str(tmp_path / "saved"))
    result = import_images(tmp_path / "saved", "--concept", "group")
    assert "none called path, class, split, group, which mean something else in a list, got 'group'" in str(
        result.exception
    )


def test_addresses_of_images_are_not_fetched_and_no_file_elsewhere_is_read(
    package: Any, tmp_path: Path, import_images: ImportImages
) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    for number, address in enumerate(("https://a.example/b.jpg", str(tmp_path / "secret.jpg"), "../secret.jpg")):
        table = {**columns(0, 1), "image": [{"bytes": None, "path": address}] * 4}
        made = package.Dataset.from_dict(table, features=features(package))
        folder = tmp_path / f"other{number}"
        folder.mkdir()
        import pyarrow.parquet as parquet

        parquet.write_table(made.with_format("arrow")[:], folder / "train.parquet")
        result = import_images(folder)
        assert isinstance(result.exception, DataError)
        assert f"expected images in it, got only the address {address!r} of one, and none is fetched" in str(
            result.exception
        )


def test_damaged_and_mixed_folders_are_refused(
    clone: Path, saved: Path, tmp_path: Path, import_images: ImportImages
) -> None:
    (saved / "train/state.json").write_text("{")
    assert "expected what save_to_disk wrote, got: " in str(import_images(saved).exception)
    (clone / "other").mkdir()
    (clone / "other/train-00000-of-00001.parquet").write_bytes(b"version https://git-lfs\n")
    assert "expected Parquet files of one data set, got some in each of data, other" in str(
        import_images(clone).exception
    )
    assert "in a clone that holds only pointers to its files, run: git lfs pull" in str(
        import_images(clone / "other").exception
    )


def test_without_the_package_the_pip_command_is_named(
    saved: Path, import_images: ImportImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    result = import_images(saved)
    assert isinstance(result.exception, MissingDependencyError)
    assert 'Run: pip install "hkd-edge[huggingface]"' in str(result.exception)


_ISOLATED = """
import socket, sys
def refuse(*arguments, **named): raise AssertionError(f"the network was asked: {arguments}")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from click.testing import CliRunner
from hkd_edge.cli import cli
result = CliRunner().invoke(cli, ["data", "import", sys.argv[1], "-o", sys.argv[2]])
assert result.exit_code == 0, (result.output, result.exception)
import datasets, huggingface_hub.constants as hub
print(datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY)
"""


def test_an_import_asks_no_network_and_tells_nobody(saved: Path, tmp_path: Path) -> None:
    switches = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in switches}
    words = [sys.executable, "-c", _ISOLATED, str(saved), str(tmp_path / "photos")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.stdout.split() == ["True", "True", "True"], done.stderr
