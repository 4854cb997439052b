"""The server in a process of its own, asked over real HTTP."""

from __future__ import annotations

import http.client
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from examples.server.measure import body_of  # noqa: E402
from examples.server.pool import ModelPool, open_pool  # noqa: E402
from examples.server.settings import Settings  # noqa: E402
from hkd_edge_runtime import HkdEdgeError, Model  # noqa: E402
from hkd_edge_runtime.files import sha256_file  # noqa: E402

MODULE = "examples.server"
LIMITS = ("--workers", 2, "--max-images", 3, "--max-body-bytes", 60_000, "--max-pixels", 10_000)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind)
    return content.getvalue()


def serve(start: Callable[..., Any], bundle: Path, *options: object) -> tuple[Any, Any]:
    """A server that is ready, and a client for it."""
    port = free_port()
    program = start(MODULE, bundle, "--port", port, *options)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)

    def is_ready() -> bool:
        try:
            return bool(client.get("/health").status_code == 200)
        except httpx.TransportError:
            return False

    program.wait_until(is_ready)
    return program, client


@pytest.fixture
def server(start: Callable[..., Any], digits_bundle: Path) -> Iterator[tuple[Any, Any]]:
    program, client = serve(start, digits_bundle, *LIMITS)
    yield program, client
    client.close()


def post(client: Any, *images: bytes, name: str = "a.png") -> Any:
    return client.post("/predict", files=[("images", (name, image)) for image in images])


def answers_of(model: Model, *images: np.ndarray, folder: Path) -> list[dict[str, object]]:
    """The wrapper's answers for the files of `images`, as one batch."""
    paths = []
    for index, image in enumerate(images):
        paths.append(folder / f"expected-{index}.png")
        paths[-1].write_bytes(png(image))
    return [answer.to_dict() for answer in model.predict_batch(paths)]


def test_one_server_from_start_to_end(
    server: tuple[Any, Any], model: Model, large_images: np.ndarray, digits_bundle: Path, tmp_path: Path
) -> None:
    """One process for the whole visit, because each costs a second; the refusals have tests of their own below."""
    program, client = server
    assert client.get("/health").json() == {
        "status": "ready",
        "bundle": "digits",
        "digest": sha256_file(digits_bundle / "manifest.json"),
        "artefact": model.artefact.title,
        "models": 2,
        "version": client.get("/openapi.json").json()["info"]["version"],
    }

    told = post(client, png(large_images[0])).json()
    assert told["artefact"] == model.artefact.title
    assert told["answers"] == [{"image": "a.png"} | answers_of(model, large_images[0], folder=tmp_path)[0]]

    told = post(client, *map(png, large_images[:3])).json()["answers"]
    expected = answers_of(model, *large_images[:3], folder=tmp_path)
    assert [{name: each[name] for name in expected[0]} for each in told] == expected

    # Eight clients at once on two models.
    singles = [answers_of(model, image, folder=tmp_path)[0] for image in large_images]
    with ThreadPoolExecutor(8) as clients:
        order = list(range(len(large_images))) * 8
        replies = list(clients.map(lambda index: post(client, png(large_images[index])).json(), order))
    assert [reply["answers"][0] for reply in replies] == [{"image": "a.png"} | singles[index] for index in order]

    for status, content in ((422, b"no image"), (413, b"x" * 61_000)):
        assert post(client, content).status_code == status
    assert client.get("/nowhere").status_code == 404
    numbers = scrape(client)
    assert numbers['hkd_edge_requests_total{path="/predict",status="200"}'] == 82
    assert numbers['hkd_edge_requests_total{path="/predict",status="422"}'] == 1
    assert numbers['hkd_edge_requests_total{path="other",status="404"}'] >= 1
    assert numbers['hkd_edge_errors_total{status="413"}'] == 1
    assert numbers["hkd_edge_request_seconds_count"] == 84
    assert numbers['hkd_edge_request_seconds_bucket{le="+Inf"}'] == 84
    assert 0 < numbers["hkd_edge_request_seconds_sum"] < 60
    assert numbers["hkd_edge_requests_in_flight"] == 0
    assert numbers["hkd_edge_ready"] == 1
    by_label = {name: value for name, value in numbers.items() if name.startswith("hkd_edge_predictions_total")}
    assert sum(by_label.values()) == 84
    label = told[0]["label"]
    labels = [each["label"] for each in (*expected, answers_of(model, large_images[0], folder=tmp_path)[0])]
    labels += [singles[index]["label"] for index in order]
    assert by_label[f'hkd_edge_predictions_total{{label="{label}"}}'] == labels.count(label)

    assert program.stop() == 0
    assert "Traceback" not in program.errors


def scrape(client: Any) -> dict[str, float]:
    reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in reply.text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+(\{.*\})? \S+", line) for line in lines)
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_requests_that_do_not_fit_are_refused_and_told_why(
    server: tuple[Any, Any], large_images: np.ndarray, digit_images: np.ndarray
) -> None:
    program, client = server
    whole = png(large_images[0])
    noise = png(np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8))
    many = np.zeros((101, 100), np.uint8)
    for images, status, message in (
        ((b"no image",), 422, "b.png: expected an image file that Pillow can read: cannot identify its format"),
        ((whole, noise[: len(noise) // 2]), 422, "b.png: expected an image file that Pillow can read"),
        ((png(many),), 422, "b.png: expected at most 10000 pixels, got 100 x 101 = 10100"),
        ((png(digit_images[0], "PPM"),), 422, "cannot identify its format (out of JPEG, PNG, "),
        ((b"",), 422, "b.png: expected an image file that Pillow can read"),
        ((whole,) * 4, 413, "images: expected at most 3, got 4"),
        ((b"x" * 60_000,), 413, "body: expected at most 60000 bytes, got"),
    ):
        reply = post(client, *images, name="b.png")
        assert (reply.status_code, message in reply.json()["detail"]) == (status, True), reply.text
    for arguments, status, message in (
        ({"content": iter([b"x"])}, 411, "Content-Length: expected the size of the body"),
        ({"json": {"images": 1}}, 422, "images"),
        ({"files": {"pictures": ("a.png", whole)}}, 422, "images"),
        ({"data": {"images": "text"}}, 422, "images"),
    ):
        reply = client.post("/predict", **arguments)
        assert (reply.status_code, message in reply.text) == (status, True), reply.text
    assert client.get("/predict").status_code == 405
    assert post(client, whole).status_code == 200
    assert "Traceback" not in program.errors


def test_work_at_hand_is_finished_before_it_ends_and_too_many_requests_wait_elsewhere(
    start: Callable[..., Any], digits_bundle: Path, large_images: np.ndarray
) -> None:
    program, client = serve(start, digits_bundle, "--max-requests", 1)
    host, port = client.base_url.host, client.base_url.port
    content = png(large_images[0])
    body = body_of("a.png", content)
    # A request whose last byte has not come yet is being served.
    slow = http.client.HTTPConnection(host, port, timeout=30)
    slow.putrequest("POST", "/predict")
    slow.putheader("Content-Type", "multipart/form-data; boundary=hkd-edge-measure")
    slow.putheader("Content-Length", str(len(body)))
    slow.endheaders()
    slow.send(body[:-1])
    program.wait_until(lambda: scrape(client)["hkd_edge_requests_in_flight"] == 1)
    refused = post(client, content)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert "1 requests are being served already" in refused.json()["detail"]
    program.process.terminate()
    program.wait_until(lambda: "Shutting down" in program.errors)
    time.sleep(0.2)
    assert program.process.poll() is None
    slow.send(body[-1:])
    assert slow.getresponse().status == 200
    slow.close()
    assert program.wait() == 0
    client.close()


def test_a_bundle_that_is_refused_ends_the_server_with_its_error(start: Callable[..., Any], tmp_path: Path) -> None:
    program = start(MODULE, tmp_path / "nowhere", "--port", free_port())
    assert program.wait() == 10
    assert "error: " in program.errors
    assert "Traceback" not in program.errors


def test_a_port_that_is_taken_ends_the_server(start: Callable[..., Any], digits_bundle: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        program = start(MODULE, digits_bundle, "--port", listener.getsockname()[1])
        # uvicorn's own code for a server that could not start.
        assert program.wait() == 3
    assert "address already in use" in program.errors


def test_each_thread_of_the_pool_has_a_model_of_its_own(digits_bundle: Path) -> None:
    import asyncio

    pool = open_pool(Settings(str(digits_bundle), workers=3))
    meeting = threading.Barrier(3, timeout=30)

    def meet(model: Model) -> tuple[int, int]:
        meeting.wait()
        return id(model), threading.get_ident()

    async def gather() -> list[tuple[int, int]]:
        return await asyncio.gather(*(pool.run(meet) for _ in range(30)))

    pairs = asyncio.run(gather())
    assert len(set(pairs)) == len({model for model, _ in pairs}) == 3
    pool.close()


def test_no_models_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="models: expected at least one, got none"):
        ModelPool([])


def test_models_that_were_opened_are_closed_when_one_is_refused(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    closed: list[Any] = []

    class Opened:
        def close(self) -> None:
            closed.append(self)

    def load(*arguments: object, **options: object) -> Opened:
        if len(opened) == 2:
            raise HkdEdgeError("no memory for a third")
        opened.append(Opened())
        return opened[-1]

    monkeypatch.setattr("examples.server.pool.load", load)
    with pytest.raises(HkdEdgeError):
        open_pool(Settings(str(digits_bundle), workers=3))
    assert closed == opened[::-1]


def test_the_measuring_client_measures(
    start: Callable[..., Any], server: tuple[Any, Any], digits_bundle: Path, pictures: Path
) -> None:
    _, client = server
    port = client.base_url.port
    program = start(
        f"{MODULE}.measure", digits_bundle, pictures / "00.png", "--port", port, "--requests", 40, "--clients", 2
    )
    assert program.wait() == 0, program.errors
    assert re.search(r"wrapper +\d+ /s +p50 \d+\.\d\d .*\n2 clients +\d+ /s +p50", program.out), program.out


def test_a_body_that_never_comes_is_given_up() -> None:
    import asyncio

    from starlette.exceptions import HTTPException

    from examples.server.limits import Limit

    async def never() -> Any:
        await asyncio.Event().wait()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    limit = Limit(application, Settings("", body_timeout_s=0.02))
    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"9")]}
    with pytest.raises(HTTPException) as caught:
        asyncio.run(limit(scope, never, never))
    assert (caught.value.status_code, limit._in_flight) == (408, 0)
    assert "body: expected all of it within 0.02 s" in caught.value.detail
