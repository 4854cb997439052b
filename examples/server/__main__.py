"""`python -m examples.server BUNDLE`: serves until SIGTERM or Ctrl-C, and ends what has begun."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

import uvicorn

from examples.server.app import Service, make_app
from examples.server.settings import Settings

DEFAULTS = Settings("")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after SIGTERM and Ctrl-C; that of the HkdEdgeError if the bundle cannot be opened.

    Where the address is taken uvicorn exits itself, with 3.
    """
    options = _parser().parse_args(arguments)
    settings = Settings(
        options.bundle,
        options.target,
        options.precision,
        options.threads,
        options.workers,
        options.max_images,
        options.max_requests,
        options.max_body_bytes,
        options.max_pixels,
    )
    app = make_app(settings, on_failure=lambda: _stop(server))
    config = uvicorn.Config(app, options.host, options.port, access_log=False, timeout_graceful_shutdown=30)
    server = uvicorn.Server(config)
    # uvicorn ends in order and then raises the signal once more; that is when this handler is called.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server.run()
    service: Service = app.state.service
    if service.failure is None:
        # Neither a signal nor a refused bundle: uvicorn has said what went wrong.
        return 1
    print(f"error: {service.failure}", file=sys.stderr)
    return service.failure.exit_code


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.server",
        description="Serve an hkd-edge bundle over HTTP.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle that hkd-edge made")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    parser.add_argument("--target", default=DEFAULTS.target, help="onnxruntime, openvino, ... or auto")
    parser.add_argument("--precision", default=DEFAULTS.precision, help="fp32, int8, ... or auto")
    parser.add_argument("--threads", type=_positive, default=DEFAULTS.threads, help="of the runtime in each model")
    parser.add_argument("--workers", type=_positive, default=DEFAULTS.workers, help="models, each with its own thread")
    for name, what in (
        ("max_images", "of one request"),
        ("max_requests", "at once; more get 503"),
        ("max_body_bytes", "of one request"),
        ("max_pixels", "of one image"),
    ):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=_positive, default=getattr(DEFAULTS, name), help=what)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number >= 1, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
