from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hkd_edge.board.transfer import digest, regular_files, tar_stream

NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20)


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(NAMES.filter(lambda name: name not in (".", "..")), st.binary(max_size=3000), max_size=5))
def test_a_stream_unpacks_to_the_same_files(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "below").mkdir()
        for name, content in files.items():
            (folder / "below" / name).write_bytes(content)
        stream = b"".join(tar_stream(folder, regular_files(folder)))
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        unpacked = {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}
    assert unpacked == {f"below/{name}": content for name, content in files.items()}


def test_symlinks_stay_behind(tmp_path: Path) -> None:
    (tmp_path / "secret").symlink_to("/etc/passwd")
    (tmp_path / "file").write_text("x")
    assert regular_files(tmp_path) == [tmp_path / "file"]


def test_names_and_contents_make_the_digest_and_times_do_not(tmp_path: Path) -> None:
    def digest_of(files: dict[str, str]) -> str:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, text in files.items():
            (folder / name).write_text(text)
        return digest(folder, regular_files(folder))

    first = digest_of({"a": "1", "b": "2"})
    assert first == digest_of({"b": "2", "a": "1"})
    assert len({first, digest_of({"a": "2", "b": "1"}), digest_of({"a": "1"}), digest_of({"a": "1", "c": "2"})}) == 4
