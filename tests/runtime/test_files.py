from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hkd_edge_runtime.files import CHUNK_BYTES, sha256_file, write_atomically, write_json_atomically


def test_the_checksum_is_that_of_hashlib_even_over_several_chunks(tmp_path: Path) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 256) + b"end"
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with write_atomically(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".onnx")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_atomically(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "model.onnx"):
        pass


def test_json_keeps_letters_of_all_alphabets_readable(tmp_path: Path) -> None:
    write_json_atomically(tmp_path / "file.json", {"label": "코트"})
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert "코트" in text
    assert json.loads(text) == {"label": "코트"}


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json_atomically(tmp_path / "file.json", {"top1": float("nan")})
    assert list(tmp_path.iterdir()) == []
