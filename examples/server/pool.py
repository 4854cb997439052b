"""A fixed number of models with a thread each: a model serves one thread at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TypeVar

from examples.server.settings import Settings
from hkd_edge_runtime import Model, load

Result = TypeVar("Result")


class ModelPool:
    """Runs work on the first of its models that is free; `close` waits for what has begun.

    Attributes:
        size: how many models there are.
        digest: of their bundle, see `Model`.
    """

    def __init__(self, models: list[Model]) -> None:
        if not models:
            raise ValueError("models: expected at least one, got none.")
        self.size = len(models)
        self.manifest = models[0].manifest
        self.artefact = models[0].artefact
        self.digest = models[0].digest
        self._models = models
        self._waiting: SimpleQueue[Model] = SimpleQueue()
        for model in models:
            self._waiting.put(model)
        self._own = threading.local()
        self._executor = ThreadPoolExecutor(self.size, "model", initializer=self._take_model)

    async def run(self, work: Callable[[Model], Result]) -> Result:
        """What `work` returns, called in a thread of the pool with that thread's own model."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(self._own.model))

    def close(self) -> None:
        """Waits for the work that was given, then closes the models."""
        self._executor.shutdown(wait=True)
        for model in self._models:
            model.close()

    def _take_model(self) -> None:
        # The executor starts at most as many threads as there are models, so this never waits.
        self._own.model = self._waiting.get_nowait()


def open_pool(settings: Settings) -> ModelPool:
    """A pool of `settings.workers` models, each checked by the golden images.

    Raises:
        HkdEdgeError: as `load`; what was already open is closed.
    """
    with ExitStack() as on_error:
        models = []
        for _ in range(settings.workers):
            models.append(load(settings.bundle, settings.target, settings.precision, threads=settings.threads))
            on_error.callback(models[-1].close)
        on_error.pop_all()
    return ModelPool(models)
