"""Requests per second and latency of a server that runs: `python -m examples.server.measure BUNDLE IMAGE`.

The client is the standard library's, so that as little as possible of the machine goes to it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hkd_edge_runtime import load, read_image_bytes

BOUNDARY = "hkd-edge-measure"
WARM_UP = 50


def main() -> None:
    """Prints one line for the wrapper in this process and one for each number of clients."""
    options = _parser().parse_args()
    content = Path(options.image).read_bytes()
    with load(options.bundle, options.target, options.precision) as model:
        spec = model.manifest.input
        print(f"{model.artefact.title}, {len(content)} bytes, n = {options.requests}, {os.cpu_count()} CPUs")
        _report("wrapper", *_timed(lambda: model.predict(read_image_bytes(content, spec)), options.requests))
    for clients in options.clients:
        each = options.requests // clients
        _report(
            f"{clients} clients", *_served(options.host, options.port, body_of(options.image, content), clients, each)
        )


def body_of(name: str, content: bytes) -> bytes:
    """A multipart body with one file in the field `images`."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{Path(name).name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def _served(host: str, port: int, body: bytes, clients: int, each: int) -> tuple[list[float], float]:
    latencies: list[float] = []
    start = threading.Barrier(clients + 1)

    def client() -> None:
        connection = http.client.HTTPConnection(host, port, timeout=30)
        _timed(lambda: _post(connection, body), WARM_UP)
        start.wait()
        latencies.extend(_timed(lambda: _post(connection, body), each)[0])
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return latencies, time.perf_counter() - started


def _post(connection: http.client.HTTPConnection, body: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", "/predict", body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise SystemExit(f"expected 200, got {response.status}: {json.loads(answer)['detail']}")


def _timed(call: Callable[[], object], count: int) -> tuple[list[float], float]:
    latencies = []
    started = time.perf_counter()
    for _ in range(count):
        before = time.perf_counter()
        call()
        latencies.append(time.perf_counter() - before)
    return latencies, time.perf_counter() - started


def _report(title: str, latencies_s: list[float], seconds: float) -> None:
    p50, p90, p99 = np.percentile(latencies_s, [50, 90, 99]) * 1e3
    print(f"{title:<12} {len(latencies_s) / seconds:8.0f} /s   p50 {p50:.2f}  p90 {p90:.2f}  p99 {p99:.2f} ms")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.server.measure", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle that the server runs")
    parser.add_argument("image", metavar="IMAGE", help="the image to send")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--target", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--requests", type=int, default=2000, help="for each number of clients (default 2000)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 8], help="at once (default 1 2 8)")
    return parser


if __name__ == "__main__":
    main()
