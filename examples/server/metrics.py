"""What GET /metrics tells, in Prometheus' text format."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/predict", "/health", "/metrics")
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The server's numbers, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "hkd_edge_requests", "Requests by path and status", ("path", "status"), registry=self._registry
        )
        self.errors = Counter(
            "hkd_edge_errors",
            "Requests to /predict that got no answer, by status",
            ("status",),
            registry=self._registry,
        )
        self.latency_s = Histogram(
            "hkd_edge_request_seconds",
            "From the head of a request to /predict to the end of its answer",
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self.in_flight = Gauge("hkd_edge_requests_in_flight", "Requests to /predict now", registry=self._registry)
        self.predictions = Counter("hkd_edge_predictions", "Images by their class", ("label",), registry=self._registry)
        self.ready = Gauge("hkd_edge_ready", "1 when the golden images were answered", registry=self._registry)

    def text(self) -> bytes:
        """All of them, in the text format 0.0.4."""
        return generate_latest(self._registry)


class Observe:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and notes its status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The server answers 500 where the application gives up before it has begun to answer.
        status = "500"

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        # A path that nobody serves must not make a series of its own: strangers could make millions.
        path = scope["path"] if scope["path"] in PATHS else "other"
        started = time.perf_counter()
        try:
            if path == "/predict":
                with self._metrics.in_flight.track_inprogress():
                    await self._app(scope, receive, note_status)
            else:
                await self._app(scope, receive, note_status)
        finally:
            self._metrics.requests.labels(path, status).inc()
            if path == "/predict":
                self._metrics.latency_s.observe(time.perf_counter() - started)
                if status != "200":
                    self._metrics.errors.labels(status).inc()
