"""What a validation found is read back as it was written, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hkd_edge.errors import RunDirectoryError
from hkd_edge.evaluate.result import ARRAYS_FILE, RESULT_FILE, read_answers, read_validation, write_validation
from tests.validations import drawn_validation


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    validation, arrays = drawn_validation()
    write_validation(tmp_path, validation, arrays)
    assert read_validation(tmp_path) == validation
    read = read_answers(tmp_path)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_missing_validation_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="expected the result of a validation.*Run: hkd-edge validate"):
        read_validation(tmp_path)


@pytest.mark.parametrize("change", [{"format_version": 0}, {"rows": 3}, {"verdict": "perhaps"}])
def test_a_validation_of_another_kind_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    write_validation(tmp_path, *drawn_validation())
    stored = json.loads((tmp_path / RESULT_FILE).read_text())
    (tmp_path / RESULT_FILE).write_text(json.dumps(stored | change))
    with pytest.raises(RunDirectoryError, match="expected hkd-edge-validation 1, got .* Validate again"):
        read_validation(tmp_path)


def test_damaged_arrays_are_refused(tmp_path: Path) -> None:
    write_validation(tmp_path, *drawn_validation())
    (tmp_path / ARRAYS_FILE).write_bytes(b"no archive")
    with pytest.raises(RunDirectoryError, match="Validate again"):
        read_answers(tmp_path)
