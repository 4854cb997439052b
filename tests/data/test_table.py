"""Lists of images in CSV and Parquet: columns, axes, and every wrong row with its line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

from hkd_edge.data.listing import hierarchy_of
from hkd_edge.data.table import list_table
from hkd_edge.errors import DataError, MissingDependencyError


def write(folder: Path, text: str, name: str = "list.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_paths_start_at_the_list_and_further_columns_are_axes(tmp_path: Path) -> None:
    text = (
        'path,class,kind,split,group\nimg/1.jpg,Coat,tops,train,g1\n"a, b.jpg",Sandal,shoes,val,\n/x/3.jpg,Bag,,test,\n'
    )
    listing = list_table(write(tmp_path, text))
    first, second, third = listing.entries
    assert (first.path, first.label, first.split, first.group) == (tmp_path / "img/1.jpg", "Coat", "train", "g1")
    assert (second.name, second.split, second.group) == ("a, b.jpg", "validation", None)
    assert third.path == Path("/x/3.jpg")
    assert hierarchy_of(listing, ("Bag", "Coat", "Sandal")).to_dict()["axes"] == {
        "kind": {"shoes": ["Sandal"], "tops": ["Coat"]}
    }


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "\ufeffpath;class\r\n1.jpg;b\r\n"), ("a.tsv", "path\tclass\n1.jpg\tb\n")]
)
def test_other_separators_and_a_byte_order_mark_are_understood(tmp_path: Path, name: str, text: str) -> None:
    assert [(entry.name, entry.label) for entry in list_table(write(tmp_path, text, name)).entries] == [("1.jpg", "b")]


def test_every_wrong_row_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "path,class,split\n1.jpg,a,train\n,a,train\n2.jpg,,test\n3.jpg,a,rest\n1.jpg,b,train\n4.jpg,a,\n1.jpg,a,train\n"
    )
    with pytest.raises(DataError) as caught:
        list_table(write(tmp_path, text))
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[1:-1] == [
        "list.csv:3: no path",
        "list.csv:4: no class and no concept",
        "list.csv:5: split 'rest' is none of train, training, val, valid, validation, test, testing",
        "list.csv:6: 1.jpg is listed as 'b' and as 'a', see list.csv:2",
        "list.csv:7: split '' is none of train, training, val, valid, validation, test, testing",
        "list.csv:8: 1.jpg is listed again, see list.csv:2",
    ]


def test_an_empty_class_is_one_that_nobody_told(tmp_path: Path) -> None:
    listing = list_table(write(tmp_path, "path,class,kind,sleeves\n1.jpg,Coat,tops,long\n2.jpg,,tops,\n"))
    assert [(entry.label, dict(entry.concepts)) for entry in listing.entries] == [
        ("Coat", {"kind": "tops", "sleeves": "long"}),
        (None, {"kind": "tops"}),
    ]


def test_rows_without_a_class_need_a_concept_and_are_for_training(tmp_path: Path) -> None:
    text = "path,class,kind,split\n1.jpg,,,train\n2.jpg,,x,val\n3.jpg,,x,Test\n4.jpg,,x,train\n4.jpg,a,x,train\n"
    with pytest.raises(DataError) as caught:
        list_table(write(tmp_path, text))
    assert [line.strip() for line in str(caught.value).splitlines()[1:-1]] == [
        "list.csv:2: no class and no concept",
        "list.csv:3: no class, and so no use in split 'val'",
        "list.csv:4: no class, and so no use in split 'Test'",
        "list.csv:6: 4.jpg is listed as 'a' and as one without a class, see list.csv:5",
    ]


def test_one_class_in_two_concepts_is_one_message_with_both_lines(tmp_path: Path) -> None:
    listing = list_table(write(tmp_path, "path,class,kind\n1.jpg,a,x\n2.jpg,b,y\n3.jpg,a,y\n4.jpg,a,\n"))
    with pytest.raises(DataError, match=r"class 'a' is in 'x' \(list\.csv:2\) and 'y' \(list\.csv:4\) of kind"):
        hierarchy_of(listing, ("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\n1.jpg,a\n", "expected the columns path and class, got file, class"),
        ("path,clas\n1.jpg,a\n", "Did you mean 'clas'"),
        ("path,class,x,x\n1.jpg,a,b,c\n", r"a name of their own each, got \['x'\]"),
        ("path,class\n", "expected a row for each image, got only a header"),
        ("path,class\n1.jpg\n", r"list\.csv:2: expected 2 cells as in the header, got 1"),
        ('path,class\n"1.jpg,a\n', "expected a CSV file in UTF-8, got: unexpected end of data"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list_table(write(tmp_path, text))


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: expected a list of images"):
        list_table(tmp_path / "none.csv")


def test_parquet_without_pyarrow_names_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match='pip install "pyarrow>=15"'):
        list_table(write(tmp_path, "", "a.parquet"))


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    columns = {"path": ["1.jpg", "2.jpg"], "class": ["a", "b"], "kind": ["x", None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    first, second = list_table(tmp_path / "a.parquet").entries
    assert (first.concepts, second.concepts, second.place) == ({"kind": "x"}, {}, "a.parquet row 2")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="expected a Parquet file"):
        list_table(tmp_path / "b.parquet")
