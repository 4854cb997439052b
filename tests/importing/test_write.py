"""Names of classes become folders of their own, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hkd_edge.data.listing import is_printable
from hkd_edge.errors import DataError
from hkd_edge.importing.source import Item, Source
from hkd_edge.importing.write import safe_name, write_list

PNG = b"\x89PNG\r\n\x1a\n"


def silent(description: str, done: int, total: int) -> None:
    pass


def source_of(folder: Path, *labels: str | None) -> Source:
    items = [Item(PNG, ".png", label, None) for label in labels]
    return Source(folder, len(items), iter(items))


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1))
def test_a_safe_name_is_a_plain_folder_of_any_file_system(label: str) -> None:
    assert is_printable(label)
    name = safe_name(label)
    assert name == name.strip(". ")
    assert not set(name) & set('/\\:*?"<>|\0')
    assert 0 < len(name.encode()) < 250


def test_classes_whose_names_are_alike_as_folders_get_folders_of_their_own(tmp_path: Path) -> None:
    write_list(source_of(tmp_path, "a/b", "a?b", "A_B", "_unlabelled", "a/b"), tmp_path / "photos", silent)
    found = sorted(str(path.relative_to(tmp_path / "photos/images")) for path in tmp_path.rglob("*.png"))
    assert found == [
        "A_B-3/000001.png",
        "_unlabelled-2/000001.png",
        "a_b-2/000001.png",
        "a_b/000001.png",
        "a_b/000002.png",
    ]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ("a", "a "),
            "expected names of classes that differ in more than blanks and Unicode's forms, got 'a ' and 'a'",
        ),
        (("a\nb",), r"expected names of classes that can be printed, got 'a\\nb'"),
        ((" ",), "expected names of classes that can be printed, got ' '"),
        ((None, None), "expected images with a class, got 2 images of which none has one, 2 with neither class nor"),
    ],
)
def test_names_that_a_list_would_not_keep_apart_are_refused(
    tmp_path: Path, labels: tuple[str | None, ...], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        write_list(source_of(tmp_path, *labels), tmp_path / "photos", silent)
    assert message.replace("\\\\", "\\") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="photos: expected to write it, got: .*Mend rights or room"):
        write_list(source_of(tmp_path, "a"), tmp_path / "file/photos", silent)
