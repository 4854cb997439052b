"""The folder on the board that holds all we bring: bundles, environments and caches, kept by their digests.

ROOT/.hkd-edge                the sign that the folder is ours and may be removed
ROOT/bundles|images|wheels/DIGEST   what was copied
ROOT/environments/DIGEST      a virtual environment, by the wheel, the interpreter and the wheelhouse
ROOT/cache                    in the place of ~/.cache, so that nothing is left elsewhere
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hkd_edge.board.ssh import MARK, Connection, Progress
from hkd_edge.board.transfer import digest, tar_stream
from hkd_edge.errors import BoardError

DEFAULT_FOLDER = ".cache/hkd-edge/bench"
_SIGN = ".hkd-edge"
_SHORT_S = 60
_COPY_S = 1800
_INSTALL_S = 1800
_DIGEST_LETTERS = 24

_OURS = f"""
set -eu
root=$1
ours() {{
  if [ -d "$root" ] && [ ! -e "$root/{_SIGN}" ] && [ -n "$(ls -A -- "$root")" ]; then
    echo "$root holds files that are not hkd-edge's; nothing was touched. Name another folder by --directory." >&2
    exit 1
  fi
}}
"""
_PREPARE = f"""{_OURS}
ours
mkdir -p -- "$root"
: > "$root/{_SIGN}"
"""
_CLEAN = f"""{_OURS}
ours
echo {MARK}
if [ -d "$root" ]; then rm -rf -- "$root"; echo removed; fi
"""
_HAS = f"""
echo {MARK}
if [ -d "$1" ]; then echo yes; fi
"""
# Renamed when it is whole, so that a broken copy is never taken for one.
_RECEIVE = """
set -eu
rm -rf -- "$1.part"
mkdir -p -- "$1.part"
tar -x -f - -C "$1.part"
rm -rf -- "$1"
mv -- "$1.part" "$1"
"""
# System packages stay visible, because JetPack's TensorRT is one of them. Moved when it is whole: what a move breaks,
# the first lines of its scripts, is not used.
_MAKE_ENVIRONMENT = """
set -eu
rm -rf -- "$1"
mkdir -p -- "$1"
if ! "$2" -m venv --system-site-packages "$1/part" >&2; then
  echo "expected a Python that can make virtual environments; on Debian: sudo apt install python3-venv" >&2
  exit 1
fi
mv -- "$1/part" "$1/env"
"""
# $1 environment, $2 folder of the wheel, $3 cache, $4 timeout in s, $5... pip's arguments.
_INSTALL = """
set -eu
environment=$1; wheel=$2; cache=$3; seconds=$4; shift 4
cd -- "$wheel"
env -u PYTHONPATH XDG_CACHE_HOME="$cache" timeout -k 10 "$seconds" "$environment/env/bin/python" -m pip install \
  --no-input --disable-pip-version-check --quiet --only-binary :all: "$@" >&2
"""


@dataclass(frozen=True)
class Interpreter:
    """How to run Python on the board: the program, and what it gets as PYTHONPATH (empty for none)."""

    program: str
    path: str = ""


class Workshop:
    """Our folder `root` (absolute) on the board."""

    def __init__(self, connection: Connection, root: str, progress: Progress) -> None:
        self.root = root
        self._connection = connection
        self._progress = progress

    def prepare(self) -> None:
        """Makes the folder.

        Raises:
            BoardError: if it holds something else than ours, or cannot be written.
        """
        self._connection.run("make the folder", _PREPARE, [self.root], timeout_s=_SHORT_S)

    def clean(self) -> bool:
        """Removes the folder; False if there was none.

        Raises:
            BoardError: if it holds something else than ours.
        """
        return "removed" in self._connection.run("clean up", _CLEAN, [self.root], timeout_s=_COPY_S)

    def bring(self, kind: str, folder: Path, files: Sequence[Path]) -> str:
        """Copies `files` of `folder` unless they are there already; the absolute path on the board."""
        target = f"{self.root}/{kind}/{digest(folder, files)[:_DIGEST_LETTERS]}"
        size_mb = sum(path.stat().st_size for path in files) / 1e6
        if self._has(target):
            self._progress(f"{kind}: on the board already ({size_mb:.1f} MB)")
            return target
        self._progress(f"{kind}: copying {len(files)} files, {size_mb:.1f} MB")
        stream = _counted(tar_stream(folder, files), size_mb, lambda text: self._progress(f"{kind}: {text}"))
        self._connection.run(f"copy {kind}", _RECEIVE, [target], timeout_s=_COPY_S, send=stream)
        return target

    def install(self, python: str, wheel: str, extras: Sequence[str], wheelhouse: str | None) -> Interpreter:
        """An environment with the wheel and those of `extras` that can be installed.

        `wheel` and `wheelhouse` are paths on the board: a wheel file, and a folder that takes the place of an index.

        Raises:
            BoardError: if the environment cannot be made, or none of the extras can be installed.
        """
        identity = "\n".join([python, wheel, wheelhouse or ""])
        environment = f"{self.root}/environments/{hashlib.sha256(identity.encode()).hexdigest()[:_DIGEST_LETTERS]}"
        if not self._has(f"{environment}/env"):
            self._progress(f"environment: making it with {python}")
            self._connection.run("make an environment", _MAKE_ENVIRONMENT, [environment, python], timeout_s=_INSTALL_S)
        problems = []
        for extra in extras:
            try:
                self._install_extra(environment, wheel, extra, wheelhouse)
            except BoardError as error:
                problems.append(error)
                self._progress(f"environment: without {extra}: {error}")
        if extras and len(problems) == len(extras):
            raise problems[0]
        return Interpreter(f"{environment}/env/bin/python")

    def unpack_wheel(self, python: str, wheel: str) -> Interpreter:
        """`python` as it is, with the wheel on its search path: nothing is installed."""
        target = f"{wheel.rpartition('/')[0]}/unpacked"
        if not self._has(target):
            script = 'set -eu\nrm -rf -- "$3.part"\n"$1" -m zipfile -e "$2" "$3.part"\nmv -- "$3.part" "$3"\n'
            self._connection.run("unpack the wheel", script, [python, wheel, target], timeout_s=_SHORT_S)
        return Interpreter(python, target)

    def _install_extra(self, environment: str, wheel: str, extra: str, wheelhouse: str | None) -> None:
        sign = f"{environment}/{extra}"
        if self._has(sign):
            self._progress(f"environment: {extra} is there already")
            return
        self._progress(f"environment: installing {extra}")
        folder, _, name = wheel.rpartition("/")
        index = [] if wheelhouse is None else ["--no-index", "--find-links", wheelhouse]
        arguments = [environment, folder, f"{self.root}/cache", str(_INSTALL_S), *index, f"./{name}[{extra}]"]
        step = f"install {extra}"
        self._connection.run(step, _INSTALL, arguments, timeout_s=_INSTALL_S + 30, on_line=self._progress)
        self._connection.run(step, 'mkdir -p -- "$1"', [sign], timeout_s=_SHORT_S)

    def _has(self, folder: str) -> bool:
        return "yes" in self._connection.run("look", _HAS, [folder], timeout_s=_SHORT_S).split()


def _counted(parts: Iterable[bytes], size_mb: float, progress: Progress) -> Iterator[bytes]:
    """`parts` themselves; tells `progress` at each tenth of large ones."""
    sent_mb, told_tenths = 0.0, 0
    for part in parts:
        yield part
        sent_mb += len(part) / 1e6
        tenths = int(10 * sent_mb / size_mb) if size_mb > 20 else 0
        if tenths > told_tenths:
            told_tenths = tenths
            progress(f"{min(sent_mb, size_mb):.0f} of {size_mb:.0f} MB")
