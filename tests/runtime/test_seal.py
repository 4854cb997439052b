from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hkd_edge_runtime.seal import SEAL, check_seal, parse_strictly, sealed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.just("key") | st.just("{}"), values, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), JSON, min_size=1, max_size=4))
def test_sealed_content_comes_back_with_its_seal(content: dict[str, object]) -> None:
    written = sealed(content)
    check_seal(written)
    back = parse_strictly(written)
    assert len(back.pop(SEAL)) == 64
    assert back == content


@given(st.data())
def test_a_flipped_bit_breaks_the_seal_wherever_it_is(data: st.DataObject) -> None:
    content = bytearray(sealed({"label": "coat", "top1": 93.2}))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="expected the SHA-256 of all lines above it, got another or none"):
        check_seal(bytes(content))


@pytest.mark.parametrize("end", [b"\n", b" ", b"}"])
def test_bytes_behind_the_end_break_the_seal(end: bytes) -> None:
    with pytest.raises(ValueError, match="expected the SHA-256"):
        check_seal(sealed({"label": "coat"}) + end)


def test_the_seal_can_be_checked_by_hand(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(sealed({"label": "코트", "list": [1, 2]}))
    if subprocess.run(["head", "-n", "-2", "/dev/null"], capture_output=True, check=False).returncode:
        pytest.skip("the head of this system does not leave lines out")
    above = subprocess.run(["head", "-n", "-2", tmp_path / "file"], capture_output=True, check=True).stdout
    seal = (tmp_path / "file").read_text(encoding="utf-8").splitlines()[-2]
    assert seal == f'  "{SEAL}": "{hashlib.sha256(above).hexdigest()}"'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"\xff", "can't decode"),
        (b'{"a": 1, "a": 2}', "a key is there twice"),
        (b'{"a": Infinity}', "Infinity is not a JSON number"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_what_is_no_strict_json_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_strictly(content)
