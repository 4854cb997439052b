"""`hkd-edge bench --host` against a real OpenSSH server on loopback, from the command line to the JSON."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hkd_edge.board.measure import arguments_of
from hkd_edge.cli import main
from hkd_edge_runtime.__main__ import command_parser
from hkd_edge_runtime.bench import Settings
from hkd_edge_runtime.turns import Pace
from tests.board.conftest import Server
from tests.runtime.conftest import make_bundle, make_toy

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Bench = Callable[..., tuple[int, str, str]]
QUICK = ("--repeats", "3", "--starts", "1", "--batch", "2")
READY = ("--python", sys.executable)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of toys in a run directory."""
    run = tmp_path_factory.mktemp("run")
    (run / "recipe.yaml").write_text("version: 1\n")
    return make_bundle(run / "bundle", {"target": "onnxruntime"})


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs `hkd-edge bench` in this process: the exit code, standard output and standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hkd-edge", "bench", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        return code, *capsys.readouterr()

    return run


def write_labelled(folder: Path) -> Path:
    """Four of the toy's images in the folders of the classes that it finds in them."""
    toy = make_toy()
    images = toy.images(4)
    for index, (image, label) in enumerate(zip(images, toy.outputs(images).probabilities.argmax(axis=1), strict=True)):
        place = folder / toy.hierarchy.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{index}.png")
    return folder


def everything(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*")}


def test_a_bundle_is_measured_on_the_board_and_kept_there(
    server: Server, bundle: Path, hkd_edge: Command, bench: Bench, tmp_path: Path
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
    assert all(name == ".cache" or name.startswith(".cache/hkd-edge") for name in everything(server.home))

    photos = write_labelled(tmp_path / "photos")
    code, out, err = bench(bundle, *server.arguments, *READY, *QUICK, "--images", photos, "--json", "--clean")
    assert code == 0, err
    assert "bundles: on the board already" in err
    second = json.loads(out)
    assert second["sha256"] == result["sha256"]
    assert (second["settings"]["images"], second["rows"][0]["accuracy"]) == (str(photos), {"images": 4, "top1": 100.0})
    assert not (server.home / ".cache/hkd-edge/bench").exists()


def test_our_folder_may_be_elsewhere_and_have_any_name(server: Server, bundle: Path, bench: Bench) -> None:
    name = 'my board\'s "$(touch pwned)" `touch pwned`; folder'
    elsewhere = ("--directory", name)
    code, _, err = bench(bundle, *server.arguments, *READY, *QUICK, *elsewhere)
    assert code == 0, err
    assert (server.home / name / "bundles").is_dir()
    assert not list(server.home.rglob("pwned"))
    assert bench(*server.arguments, *elsewhere, "--clean")[0] == 0
    assert not (server.home / name).exists()


@pytest.mark.parametrize("command", [[], ["--clean"]])
def test_a_folder_with_other_files_is_left_alone(
    server: Server, bundle: Path, bench: Bench, command: list[str]
) -> None:
    precious = server.home / "precious/file"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("x")
    code, _, err = bench(*(command or [bundle, *READY, *QUICK]), *server.arguments, "--directory", "precious")
    text = precious.read_text()
    shutil.rmtree(precious.parent)
    assert (code, text) == (13, "x")
    assert "holds files that are not hkd-edge's; nothing was touched" in err


def test_two_measurements_at_once_are_refused(server: Server, bundle: Path, bench: Bench) -> None:
    folder = server.home / "locked"
    folder.mkdir()
    (folder / ".hkd-edge").touch()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = bench(bundle, *server.arguments, *READY, *QUICK, "--directory", "locked")
    shutil.rmtree(folder)
    assert code == 13
    assert "another hkd-edge bench is at work on this board; wait for it" in err


def test_an_error_on_the_board_is_told_with_its_last_lines(server: Server, bundle: Path, bench: Bench) -> None:
    code, _, err = bench(bundle, *server.arguments, *READY, *QUICK, "--precision", "int9")
    assert code == 13
    assert "measure: expected it to work, got exit code 10. It said: error: precision: expected auto or" in err


def test_an_empty_wheelhouse_is_refused(server: Server, bundle: Path, bench: Bench, tmp_path: Path) -> None:
    code, _, err = bench(bundle, *server.arguments, "--wheelhouse", tmp_path)
    assert code == 13
    assert "expected a folder with wheels (pip download makes one), found none" in err


def test_a_damaged_bundle_does_not_travel(bench: Bench, tmp_path: Path) -> None:
    damaged = make_bundle(tmp_path / "bundle", {"target": "onnxruntime"})
    (damaged / "golden.npz").write_bytes(b"x")
    code, _, err = bench(damaged, "--host", "board-that-is-never-called.invalid")
    assert code == 10
    assert "golden.npz" in err


def test_labelled_images_of_other_classes_do_not_travel(bundle: Path, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "catt").mkdir()
    (tmp_path / "catt/a.png").write_text("x")
    code, _, err = bench(bundle, "--host", "board-that-is-never-called.invalid", "--images", tmp_path)
    assert code == 12
    assert "Did you mean 'cat'?" in err


def test_here_the_bundle_is_measured_by_the_same_command(bundle: Path, bench: Bench, tmp_path: Path) -> None:
    code, _, err = bench(bundle, *QUICK, "--output", tmp_path / "here.json")
    assert code == 0, err
    assert json.loads((tmp_path / "here.json").read_text())["rows"][0]["target"] == "onnxruntime"
    assert "written: " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a BUNDLE, or --host with --clean alone"),
        (["BUNDLE", "--clean"], "expected --host with --clean, got none"),
        (["BUNDLE", "--ssh-option", "Port=1"], "expected --host with --ssh-option, got none"),
        (["BUNDLE", "--seconds", "1", "--repeats", "1"], "expected --seconds or --repeats, got both"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(bench: Bench, arguments: list[str], message: str) -> None:
    code, _, err = bench(*arguments)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings("onnxruntime", "int8", 4, (1, 64), Pace(0.5), 2, Path("photos")),
        Settings(pace=Pace(repeats=7), batches=(), raw=False),
    ],
)
def test_the_board_is_asked_for_the_same_settings(settings: Settings) -> None:
    images = None if settings.images is None else "/there/photos"
    told = command_parser().parse_args(["bench", "bundle", *arguments_of(settings, images)])
    assert (told.target, told.precision, told.threads) == (settings.target, settings.precision, settings.threads)
    assert (tuple(told.batch), told.starts, told.repeats) == (settings.batches, settings.starts, settings.pace.repeats)
    assert (told.seconds, told.raw, told.json) == (settings.pace.seconds, settings.raw, True)
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
