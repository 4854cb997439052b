"""`hkd-edge bench --host` against a real OpenSSH server on loopback, from the command line to the JSON."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hkd_edge.board.measure import arguments_of
from hkd_edge_runtime.__main__ import _parser
from hkd_edge_runtime.bench import Settings
from hkd_edge_runtime.turns import Pace
from tests.board.conftest import Server
from tests.runtime.conftest import make_bundle

Command = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = ("--repeats", "3", "--starts", "1", "--batch", "2")
READY = ("--python", sys.executable)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of toys in a run directory."""
    run = tmp_path_factory.mktemp("run")
    (run / "recipe.yaml").write_text("version: 1\n")
    return make_bundle(run / "bundle", {"target": "onnxruntime"})


def everything(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*")}


def test_a_bundle_is_measured_on_the_board_and_kept_there(
    server: Server, bundle: Path, hkd_edge: Command, tmp_path: Path
) -> None:
    output = tmp_path / "there.json"
    first = hkd_edge("bench", bundle, *server.arguments, *READY, *QUICK, "-o", output)
    assert first.returncode == 0, first.stderr
    assert "bundles: copying 3 files" in first.stderr
    assert "onnxruntime fp32: cold start" in first.stderr
    assert re.search(r"^onnxruntime \S+ +fp32 +yes", first.stdout, re.MULTILINE)
    result = json.loads(output.read_text())
    assert (result["format"], result["rows"][0]["latency"]["runs"]) == ("hkd-edge-bench", 3)
    of_run = bundle.parent / "boards" / f"{server.destination.host}.json"
    assert json.loads(of_run.read_text()) == result
    # All that it left lies in one folder.
    assert all(name.startswith(".cache") for name in everything(server.home))
    assert {path.name for path in (server.home / ".cache").iterdir()} == {"hkd-edge"}

    second = hkd_edge("bench", bundle, *server.arguments, *READY, *QUICK, "--json", "--clean")
    assert second.returncode == 0, second.stderr
    assert "bundles: on the board already" in second.stderr
    assert json.loads(second.stdout)["sha256"] == result["sha256"]
    assert not (server.home / ".cache/hkd-edge/bench").exists()


def test_our_folder_may_be_elsewhere_and_have_any_name(server: Server, bundle: Path, hkd_edge: Command) -> None:
    name = 'my board\'s "$(touch pwned)" `touch pwned`; folder'
    elsewhere = ("--directory", name)
    done = hkd_edge("bench", bundle, *server.arguments, *READY, *QUICK, *elsewhere)
    assert done.returncode == 0, done.stderr
    assert (server.home / name / "bundles").is_dir()
    assert not list(server.home.rglob("pwned"))
    assert hkd_edge("bench", *server.arguments, *elsewhere, "--clean").returncode == 0
    assert not (server.home / name).exists()


@pytest.mark.parametrize("command", [[], ["--clean"]])
def test_a_folder_with_other_files_is_left_alone(
    server: Server, bundle: Path, hkd_edge: Command, command: list[str]
) -> None:
    precious = server.home / "precious/file"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("x")
    words = command or [bundle, *READY, *QUICK]
    done = hkd_edge("bench", *words, *server.arguments, "--directory", "precious")
    precious_text = precious.read_text()
    precious.unlink()
    precious.parent.rmdir()
    assert (done.returncode, precious_text) == (13, "x")
    assert "holds files that are not hkd-edge's; nothing was touched" in done.stderr


def test_two_measurements_at_once_are_refused(server: Server, bundle: Path, hkd_edge: Command) -> None:
    folder = server.home / "locked"
    folder.mkdir()
    (folder / ".hkd-edge").touch()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = hkd_edge("bench", bundle, *server.arguments, *READY, *QUICK, "--directory", "locked")
    assert done.returncode == 13
    assert "another hkd-edge bench is at work on this board; wait for it" in done.stderr


def test_an_error_on_the_board_is_told_with_its_last_lines(server: Server, bundle: Path, hkd_edge: Command) -> None:
    done = hkd_edge("bench", bundle, *server.arguments, *READY, *QUICK, "--precision", "int9")
    assert done.returncode == 13
    assert "measure: expected it to work, got exit code 10. It said: error: precision: expected auto or" in done.stderr


def test_a_damaged_bundle_does_not_travel(server: Server, tmp_path: Path, hkd_edge: Command) -> None:
    damaged = make_bundle(tmp_path / "bundle", {"target": "onnxruntime"})
    (damaged / "golden.npz").write_bytes(b"x")
    done = hkd_edge("bench", damaged, *server.arguments, *READY)
    assert done.returncode == 10
    assert "golden.npz" in done.stderr


def test_here_the_bundle_is_measured_by_the_same_command(bundle: Path, hkd_edge: Command, tmp_path: Path) -> None:
    done = hkd_edge("bench", bundle, *QUICK, "--output", tmp_path / "here.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "here.json").read_text())["rows"][0]["target"] == "onnxruntime"
    assert "written: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a BUNDLE, or --host with --clean alone"),
        (["BUNDLE", "--clean"], "expected --host with --clean, got none"),
        (["BUNDLE", "--ssh-option", "Port=1"], "expected --host with --ssh-option, got none"),
        (["BUNDLE", "--seconds", "1", "--repeats", "1"], "expected --seconds or --repeats, got both"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(
    bundle: Path, hkd_edge: Command, arguments: list[str], message: str
) -> None:
    done = hkd_edge("bench", *(bundle if word == "BUNDLE" else word for word in arguments))
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings("onnxruntime", "int8", 4, (1, 64), Pace(0.5), 2, Path("photos")),
        Settings(pace=Pace(repeats=7), batches=()),
    ],
)
def test_the_board_is_asked_for_the_same_settings(settings: Settings) -> None:
    images = None if settings.images is None else "/there/photos"
    told = _parser().parse_args(["bench", "bundle", *arguments_of(settings, images)])
    assert (told.target, told.precision, told.threads) == (settings.target, settings.precision, settings.threads)
    assert (tuple(told.batch), told.starts, told.repeats) == (settings.batches, settings.starts, settings.pace.repeats)
    assert (told.seconds, told.json) == (settings.pace.seconds, True)
    assert told.images == (None if images is None else Path(images))


def pack_wheel(name: str, folder: Path) -> None:
    """Makes a wheel of an installed distribution again from its list of files."""
    distribution = importlib.metadata.distribution(name)
    files = [file for file in distribution.files or [] if ".." not in file.parts and file.suffix != ".pyc"]
    metadata = next(file.parent.name for file in files if file.name == "WHEEL")
    tag = re.findall(r"^Tag: (\S+)$", distribution.read_text("WHEEL") or "", re.MULTILINE)[-1]
    with zipfile.ZipFile(folder / f"{metadata.removesuffix('.dist-info')}-{tag}.whl", "w") as archive:
        for file in files:
            if file.name not in ("INSTALLER", "REQUESTED", "direct_url.json"):
                archive.write(file.locate(), str(file))


def needed(name: str) -> set[str]:
    """The distribution and all that it needs, as it is installed here."""
    found, open_names = set(), [name]
    while open_names:
        current = open_names.pop()
        if current in found:
            continue
        found.add(current)
        for requirement in importlib.metadata.requires(current) or []:
            if ";" not in requirement:
                open_names.append(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
    return found


@pytest.mark.slow
def test_an_environment_is_made_on_the_board_from_a_wheelhouse(
    server: Server, digits_run: Path, hkd_edge: Command, tmp_path: Path
) -> None:
    wheelhouse = tmp_path / "wheel house"
    wheelhouse.mkdir()
    for name in needed("onnxruntime") | {"numpy"}:
        pack_wheel(name, wheelhouse)
    words = ("bench", digits_run / "bundle", *server.arguments, "--wheelhouse", wheelhouse, *QUICK, "--json")
    first = hkd_edge(*words)
    assert first.returncode == 0, first.stderr
    assert "environment: installing onnxruntime" in first.stderr
    assert "environment: without openvino: " in first.stderr  # there is no wheel of it
    told = json.loads(first.stdout)
    assert {row["target"] for row in told["rows"]} == {"onnxruntime"}
    assert {each["target"] for each in told["skipped"]} >= {"openvino"}
    assert told["accuracy_by"] == "evaluation"
    assert all(row["accuracy"]["top1"] > 80 for row in told["rows"])
    second = hkd_edge(*words, "--target", "onnxruntime", "--clean")
    assert second.returncode == 0, second.stderr
    assert "environment: onnxruntime is there already" in second.stderr
    assert all(name == ".cache" or name.startswith(".cache/hkd-edge") for name in everything(server.home))
