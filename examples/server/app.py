"""The application: POST /predict, GET /health, GET /metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import BinaryIO

from fastapi import FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from examples.server.limits import Limit
from examples.server.metrics import Metrics, Observe
from examples.server.pool import ModelPool, open_pool
from examples.server.settings import FORMATS, Settings
from hkd_edge_runtime import Answer, HkdEdgeError, InputError, Model, __version__, read_image_bytes

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOADING = "the bundle is being opened. Try again later."

log = logging.getLogger("hkd_edge.server")


class Service:
    """What the requests share: the models once they are open, and the numbers.

    Attributes:
        failure: why the bundle could not be opened.
        on_failure: called then; the program should end.
    """

    def __init__(self, settings: Settings, on_failure: Callable[[], None]) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.pool: ModelPool | None = None
        self.failure: HkdEdgeError | None = None
        self._on_failure = on_failure

    async def open(self) -> None:
        """Opens the models in the background; if that fails, the program is told to end."""
        try:
            self.pool = await asyncio.to_thread(open_pool, self.settings)
        except HkdEdgeError as error:
            self.failure = error
            return
        finally:
            if self.pool is None:
                self._on_failure()
        self.metrics.ready.set(1)
        log.info("%s on %s, %d models", self.pool.manifest.name, self.pool.artefact.title, self.pool.size)

    async def close(self) -> None:
        """Lets the work at hand end and closes the models."""
        self.metrics.ready.set(0)
        if self.pool is not None:
            await asyncio.to_thread(self.pool.close)

    def ready_pool(self) -> ModelPool:
        """The models; 503 while they are not open."""
        if self.pool is None:
            raise HTTPException(503, LOADING, {"Retry-After": "1"})
        return self.pool


def make_app(settings: Settings, on_failure: Callable[[], None]) -> FastAPI:
    """The application for a bundle, which it opens when it starts; its `state.service` is the Service."""
    service = Service(settings, on_failure)
    # No page of documentation: it would load its scripts from a stranger's server.
    app = FastAPI(title="hkd-edge", version=__version__, docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.service = service
    app.add_api_route("/predict", predict, methods=["POST"])
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/metrics", metrics, methods=["GET"])
    app.add_exception_handler(InputError, partial(_refuse, 422))
    app.add_exception_handler(HkdEdgeError, partial(_refuse, 500))
    app.add_middleware(Limit, settings=settings)
    app.add_middleware(Observe, metrics=service.metrics)
    return app


async def predict(request: Request, images: list[UploadFile]) -> JSONResponse:
    """The answers for one or more image files, in the multipart field `images`, in their order; one run for all."""
    service: Service = request.app.state.service
    pool = service.ready_pool()
    if len(images) > service.settings.max_images:
        raise HTTPException(
            413, f"images: expected at most {service.settings.max_images}, got {len(images)}. Send more requests."
        )
    names = [upload.filename or f"image {number}" for number, upload in enumerate(images, start=1)]
    files = [upload.file for upload in images]
    answers = await pool.run(lambda model: classify(model, names, files, service.settings.max_pixels))
    for answer in answers:
        service.metrics.predictions.labels(answer.label).inc()
    told = [{"image": name} | answer.to_dict() for name, answer in zip(names, answers, strict=True)]
    return JSONResponse({"artefact": pool.artefact.title, "answers": told})


async def health(request: Request) -> JSONResponse:
    """200 with what runs, once the golden images were answered as they should be; 503 before."""
    service: Service = request.app.state.service
    if service.pool is None:
        return JSONResponse({"status": "loading"}, 503, {"Retry-After": "1"})
    return JSONResponse(
        {
            "status": "ready",
            "bundle": service.pool.manifest.name,
            "digest": service.pool.digest,
            "artefact": service.pool.artefact.title,
            "models": service.pool.size,
            "version": __version__,
        }
    )


async def metrics(request: Request) -> Response:
    """The numbers for Prometheus."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type=METRICS_TYPE)


def classify(model: Model, names: list[str], files: list[BinaryIO], max_pixels: int) -> list[Answer]:
    """The answers for image files, decoded here so that only as many are in memory as there are models.

    Raises:
        InputError: for the first that is no image.
    """
    spec = model.manifest.input
    return model.predict_batch(
        [
            read_image_bytes(file.read(), spec, name=name, formats=FORMATS, max_pixels=max_pixels)
            for name, file in zip(names, files, strict=True)
        ]
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    # In the background, so that /health can say how it stands while an engine is built.
    opening = asyncio.create_task(service.open())
    yield
    await opening
    await service.close()


async def _refuse(status: int, request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status)
