"""`hkd-edge bench`: a bundle measured here, or on a board over ssh by the wrapper that was copied there."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hkd_edge.board.probe import Python, choose_python, probe
from hkd_edge.board.remote import DEFAULT_FOLDER, Interpreter, Workshop
from hkd_edge.board.ssh import MARK, Connection, Destination, Progress
from hkd_edge.board.transfer import regular_files
from hkd_edge.board.wheel import build_wheel, extras
from hkd_edge.errors import BoardError
from hkd_edge.run.directory import is_run
from hkd_edge_runtime.backends import canonical_name
from hkd_edge_runtime.bench import FORMAT, FORMAT_VERSION, Settings
from hkd_edge_runtime.bundle import open_bundle
from hkd_edge_runtime.files import write_json_atomically
from hkd_edge_runtime.labelled import find_labelled
from hkd_edge_runtime.selection import AUTO

RESULTS_FOLDER = "boards"
_IMAGES_EXTRA = "images"
_LOCK_TAKEN = 75

# $1 our folder, $2 timeout in s, $3 PYTHONPATH, $4... the command. In our folder, so that no module of the home
# directory comes before the installed ones; under a lock, since two measurements at once spoil each other.
_BENCH = f"""
cd -- "$1" || exit
export XDG_CACHE_HOME="$1/cache" PYTHONPATH="$3" PYTHONDONTWRITEBYTECODE=1
seconds=$2; shift 3
echo {MARK}
flock -n -E {_LOCK_TAKEN} .lock timeout -k 10 "$seconds" "$@" < /dev/null
code=$?
if [ $code = {_LOCK_TAKEN} ]; then echo "another hkd-edge bench is at work on this board; wait for it" >&2; fi
exit $code
"""


@dataclass(frozen=True)
class Board:
    """Where and how to measure.

    Attributes:
        python: an interpreter on the board that has the runtimes already; None makes an environment.
        wheelhouse: folder of wheels here, for boards without an index; None uses the board's pip configuration.
        directory: our folder on the board, absolute or below the home directory.
        timeout_s: how long the measurement may take.
    """

    destination: Destination
    python: str | None = None
    wheelhouse: Path | None = None
    directory: str = DEFAULT_FOLDER
    timeout_s: float = 3600.0


def bench_on_board(bundle: Path, settings: Settings, board: Board, progress: Progress) -> dict[str, Any]:
    """What `python -m hkd_edge_runtime bench --json` says on the board.

    Raises:
        BoardError: if the board cannot be reached or does not suit, or a step on it failed.
        BundleError: if the bundle is damaged already here.
        InputError: if the folder of labelled images is not as it should be.
    """
    with open_bundle(bundle) as opened:
        manifest = opened.manifest
    wanted = canonical_name(settings.target)
    targets = [artefact.target for artefact in manifest.artefacts if wanted in (AUTO, artefact.target)]
    photos = None if settings.images is None else find_labelled(settings.images, manifest.labels).paths
    with Connection(board.destination) as connection:
        workshop, python = _arrive(connection, board, progress)
        interpreter = _equip(workshop, python, board, _wanted_extras(targets, settings, python))
        there = _bring_bundle(workshop, bundle)
        images = None
        if settings.images is not None and photos is not None:
            images = workshop.bring("images", settings.images, photos)
        progress("measuring")
        words = [there, *arguments_of(settings, images)]
        result = _measure(connection, workshop, interpreter, words, board, progress)
    if settings.images is not None:
        result["settings"]["images"] = str(settings.images)  # not the copy's path
    return result


def clean_board(board: Board, progress: Progress) -> None:
    """Removes all that we brought to the board.

    Raises:
        BoardError: if it cannot be reached, or the folder is not ours.
    """
    with Connection(board.destination) as connection:
        workshop = Workshop(connection, _root(probe(connection).home, board.directory), progress)
        removed = workshop.clean()
    progress(f"{workshop.root}: {'removed' if removed else 'was not there'}")


def arguments_of(settings: Settings, images: str | None) -> list[str]:
    """The arguments of `python -m hkd_edge_runtime bench` after the bundle; `images` is the folder's path there."""
    pace = settings.pace
    words = {
        "--target": settings.target,
        "--precision": settings.precision,
        "--threads": settings.threads,
        "--starts": settings.starts,
        **({"--seconds": pace.seconds} if pace.repeats is None else {"--repeats": pace.repeats}),
        **({} if images is None else {"--images": images}),
    }
    pairs = [str(word) for pair in words.items() for word in pair]
    return [*pairs, *([] if settings.raw else ["--no-raw"]), "--json", "--batch", *map(str, settings.batches)]


def write_result(result: Mapping[str, Any], bundle: Path, host: str | None, output: Path | None) -> list[Path]:
    """Writes the JSON to `output`, and for a board into the run directory that holds the bundle; the files written."""
    files = [] if output is None else [output]
    if host is not None and is_run(bundle.resolve().parent):
        folder = bundle.resolve().parent / RESULTS_FOLDER
        folder.mkdir(exist_ok=True)
        files.append(folder / f"{re.sub(r'[^A-Za-z0-9._@-]', '_', host)}.json")
    for file in files:
        write_json_atomically(file, result)
    return files


def _arrive(connection: Connection, board: Board, progress: Progress) -> tuple[Workshop, Python]:
    found = probe(connection, board.python)
    python = choose_python(found, connection.host, board.python)
    progress(f"{connection.host}: {found.machine}, {python.path} {'.'.join(map(str, python.version))}")
    workshop = Workshop(connection, _root(found.home, board.directory), progress)
    workshop.prepare()
    return workshop, python


def _root(home: str, directory: str) -> str:
    return directory if directory.startswith("/") else f"{home.rstrip('/')}/{directory}"


def _equip(workshop: Workshop, python: Python, board: Board, wanted: Sequence[str]) -> Interpreter:
    """Brings the wheel, and an environment unless an interpreter was named that has one."""
    with tempfile.TemporaryDirectory() as temporary:
        wheel = build_wheel(Path(temporary))
        place = f"{workshop.bring('wheels', Path(temporary), [wheel])}/{wheel.name}"
    if board.python is not None:
        return workshop.unpack_wheel(python.path, place)
    wheelhouse = None
    if board.wheelhouse is not None:
        wheels = [path for path in regular_files(board.wheelhouse) if path.suffix == ".whl"]
        if not wheels:
            raise BoardError(f"{board.wheelhouse}: expected a folder with wheels (pip download makes one), found none.")
        wheelhouse = workshop.bring("wheelhouses", board.wheelhouse, wheels)
    return workshop.install(python.path, place, wanted, wheelhouse)


def _bring_bundle(workshop: Workshop, bundle: Path) -> str:
    """The path on the board of the bundle, a folder or an .hkd file."""
    if bundle.is_dir():
        return workshop.bring("bundles", bundle, regular_files(bundle))
    return f"{workshop.bring('bundles', bundle.parent, [bundle])}/{bundle.name}"


def _wanted_extras(targets: Sequence[str], settings: Settings, python: Python) -> list[str]:
    """The extras for `targets`; TensorRT's only on a board that has TensorRT."""
    there = [name for name in dict.fromkeys(targets) if name != "tensorrt" or python.has_tensorrt]
    images = [] if settings.images is None else [_IMAGES_EXTRA]
    return [extra for extra in (*there, *images) if extra in extras()]


def _measure(
    connection: Connection,
    workshop: Workshop,
    interpreter: Interpreter,
    arguments: Sequence[str],
    board: Board,
    progress: Progress,
) -> dict[str, Any]:
    command = [interpreter.program, "-m", "hkd_edge_runtime", "bench", *arguments]
    words = [workshop.root, f"{board.timeout_s:g}", interpreter.path, *command]
    text = connection.run("measure", _BENCH, words, timeout_s=board.timeout_s + 30, on_line=progress)
    try:
        result = json.loads(text)
    except ValueError as error:
        raise BoardError(f"{connection.host}: measure: expected JSON, got {text[:200]!r}.") from error
    if (result.get("format"), result.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise BoardError(f"{connection.host}: measure: expected {FORMAT} {FORMAT_VERSION}, got {text[:200]!r}.")
    return dict(result)
