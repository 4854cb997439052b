from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examples.jetson.inbox import LONGEST_NAME_BYTES, Inbox
from examples.jetson.notify import sd_notify, watchdog_interval_s
from hkd_edge_runtime import Model, fit_image

MODULE = "examples.jetson.worker"


class Manager:
    """The service manager's end of NOTIFY_SOCKET: a real datagram socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(30)
        self.environment = {"NOTIFY_SOCKET": address}

    def receive(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def receive_until(self, state: str) -> list[str]:
        """All states up to the datagram that has `state`."""
        states: list[str] = []
        while state not in states:
            states += self.receive()
        return states

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify") if request.param == "path" else f"@hkd-edge-{os.getpid()}")
    yield manager
    manager.close()


def test_states_arrive_in_one_datagram(manager: Manager) -> None:
    assert sd_notify("READY=1", "STATUS=digits, über 0.1 s", environment=manager.environment)
    assert manager.receive() == ["READY=1", "STATUS=digits, über 0.1 s"]


def test_without_a_manager_nothing_is_sent() -> None:
    assert not sd_notify("READY=1", environment={})


def test_a_socket_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="NOTIFY_SOCKET: expected a path or @name, got 'vsock:2:1'"):
        sd_notify("READY=1", environment={"NOTIFY_SOCKET": "vsock:2:1"})


def test_a_manager_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        sd_notify("READY=1", environment={"NOTIFY_SOCKET": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(environment: dict[str, str], interval_s: float | None) -> None:
    assert watchdog_interval_s(environment) == interval_s


def put(inbox: Inbox, name: str, content: bytes = b"x", age_s: float = 0) -> Path:
    path = inbox.inbox / name
    path.write_bytes(content)
    os.utime(path, (1e9 - age_s, 1e9 - age_s))
    return path


def test_an_image_is_settled_when_it_no_longer_grows(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    path = put(inbox, "a.png", b"half")
    assert inbox.settled() == []
    put(inbox, "a.png", b"half and half")
    assert inbox.settled() == []
    assert inbox.settled() == [path]


def test_the_oldest_image_comes_first(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    paths = [put(inbox, "b", age_s=1), put(inbox, "a", age_s=1), put(inbox, "c", age_s=9)]
    inbox.settled()
    assert inbox.settled() == [paths[2], paths[1], paths[0]]


def test_what_is_unfinished_hidden_empty_too_long_or_no_file_is_left_alone(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for name in ("a.png.part", "b.tmp", ".hidden", "n" * (LONGEST_NAME_BYTES + 1)):
        put(inbox, name)
    put(inbox, "empty", b"")
    (inbox.inbox / "folder").mkdir()
    (tmp_path / "secret").write_text("secret")
    (inbox.inbox / "link").symlink_to(tmp_path / "secret")
    inbox.settled()
    assert inbox.settled() == []


def test_the_longest_name_still_has_a_result(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.finish(put(inbox, "n" * LONGEST_NAME_BYTES), {"label": "7"})
    assert json.loads((inbox.results / ("n" * LONGEST_NAME_BYTES + ".json")).read_text()) == {"label": "7"}


@pytest.mark.parametrize(
    ("delete", "failed", "folder"),
    [(False, False, "done"), (True, False, None), (False, True, "failed"), (True, True, "failed")],
)
def test_a_finished_image_leaves_the_inbox(tmp_path: Path, delete: bool, failed: bool, folder: str | None) -> None:
    inbox = Inbox(tmp_path, delete=delete)
    inbox.finish(put(inbox, "a.png"), {}, failed=failed)
    assert (inbox.results / "a.png.json").is_file()
    places = [place for place in ("inbox", "done", "failed") if (tmp_path / place / "a.png").exists()]
    assert places == ([folder] if folder else [])


@pytest.fixture
def worker(start: Callable[..., Any], digits_bundle: Path, tmp_path: Path) -> Iterator[tuple[Any, Manager, Path]]:
    """A worker that is ready, its manager and the folder that it watches."""
    manager = Manager(str(tmp_path / "notify"))
    root = tmp_path / "state"
    program = start(
        MODULE, digits_bundle, "--watch", root, "--poll", "0.02", **manager.environment, WATCHDOG_USEC="100000"
    )
    states = manager.receive_until("READY=1")
    assert states[0] == f"STATUS=opening {digits_bundle}"
    assert states[-1].startswith("STATUS=digits on ")
    yield program, manager, root
    manager.close()


def test_the_worker_classifies_what_arrives_and_stops_in_order(
    worker: tuple[Any, Manager, Path], large_images: np.ndarray, model: Model
) -> None:
    program, manager, root = worker
    for index, image in enumerate(large_images):
        Image.fromarray(image).save(root / "inbox" / f"{index}.part", "PNG")
        (root / "inbox" / f"{index}.part").rename(root / "inbox" / f"{index}.png")
    (root / "inbox" / "notes.png").write_text("no image")
    program.wait_until(lambda: len(list((root / "results").glob("[!.]*.json"))) == len(large_images) + 1)
    program.wait_until(lambda: not list((root / "inbox").iterdir()))
    for index, image in enumerate(large_images):
        result = json.loads((root / "results" / f"{index}.png.json").read_text())
        answer = model.predict(fit_image(image, model.manifest.input)).to_dict()
        assert {name: result[name] for name in answer} == answer
        assert result["artefact"] == model.artefact.title
        assert (root / "done" / f"{index}.png").is_file()
    failure = json.loads((root / "results" / "notes.png.json").read_text())
    assert "expected an image file that Pillow can read" in failure["error"]
    assert (root / "failed" / "notes.png").is_file()
    assert "WATCHDOG=1" in manager.receive_until("WATCHDOG=1")
    assert program.stop() == 0
    assert "STOPPING=1" in manager.receive_until("STOPPING=1")
    assert len(program.out.splitlines()) == len(large_images)


def test_ctrl_c_stops_the_worker_as_well(worker: tuple[Any, Manager, Path]) -> None:
    assert worker[0].stop(signal.SIGINT) == 0


def test_a_bundle_that_is_refused_never_gets_ready(start: Callable[..., Any], tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    program = start(MODULE, tmp_path / "nowhere", "--watch", tmp_path, **manager.environment)
    assert program.wait() == 10
    states = [*manager.receive(), *manager.receive()]
    manager.close()
    assert states[-1].startswith("STATUS=failed: ")
    assert "READY=1" not in states
    assert program.errors.startswith("error: ")


def test_a_folder_that_cannot_be_written_ends_with_a_message(
    start: Callable[..., Any], digits_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file in the way")
    program = start(MODULE, digits_bundle, "--watch", tmp_path / "state")
    assert program.wait() == 1
    assert "error: [Errno" in program.errors
    assert "Traceback" not in program.errors


def test_the_worker_reads_a_camera_too(
    start: Callable[..., Any], digits_bundle: Path, large_images: np.ndarray, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    video = tmp_path / "digits.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (96, 96))
    for image in large_images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    program = start(MODULE, digits_bundle, "--camera", video)
    assert program.wait() == 0, program.errors
    assert [json.loads(line)["frame"] for line in program.out.splitlines()] == [
        str(number) for number in range(1, len(large_images) + 1)
    ]
