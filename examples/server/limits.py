"""Refuses requests that ask for too much before their body is read."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.server.settings import Settings


class Limit:
    """ASGI middleware: 411, 413 or 503 for a POST that is of unknown size, too large, or one too many."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers it itself."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, self._in_time(receive), send)
        finally:
            self._in_flight -= 1

    def _refusal(self, request: Request) -> JSONResponse | None:
        limit = self._settings.max_body_bytes
        length = request.headers.get("content-length", "")
        # A body in chunks has no length before it has come; the HTTP server holds the others to theirs.
        if not length.isdecimal():
            return _refuse(411, "Content-Length: expected the size of the body, got none. Send it in one piece.")
        if int(length) > limit:
            return _refuse(413, f"body: expected at most {limit} bytes, got {length}. Send fewer or smaller images.")
        if self._in_flight >= self._settings.max_requests:
            return _refuse(503, f"{self._in_flight} requests are being served already. Try again later.", retry_s=1)
        return None

    def _in_time(self, receive: Receive) -> Receive:
        deadline = asyncio.get_running_loop().time() + self._settings.body_timeout_s
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:  # only the client's going away can come now, whenever it likes
                return await receive()
            try:
                left_s = deadline - asyncio.get_running_loop().time()
                message = await asyncio.wait_for(receive(), max(left_s, 0.0))
            except asyncio.TimeoutError:
                seconds = self._settings.body_timeout_s
                raise HTTPException(408, f"body: expected all of it within {seconds:g} s. Send it faster.") from None
            complete = not message.get("more_body", False)
            return message

        return receive_in_time


def _refuse(status: int, detail: str, *, retry_s: int | None = None) -> JSONResponse:
    # The body is not read, so the connection cannot serve another request.
    headers = {"Connection": "close"} | ({"Retry-After": str(retry_s)} if retry_s else {})
    return JSONResponse({"detail": detail}, status, headers)
