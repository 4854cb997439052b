"""What the server is told at its start."""

from __future__ import annotations

from dataclasses import dataclass

# JPEG and PNG are what clients send; Pillow knows dozens more, some of which start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


@dataclass(frozen=True)
class Settings:
    """Which bundle, how it runs, and how much one request and all of them may ask for.

    Attributes:
        workers: models, each with a thread of its own.
        threads: of the runtime in each model.
        max_requests: that are read, wait or run at once; more get 503.
        max_body_bytes: of one request; more get 413. What is over 1 MiB of it waits on disk.
        max_pixels: of one image, before it is resized.
        body_timeout_s: how long a client may take to send a request.
    """

    bundle: str
    target: str = "auto"
    precision: str = "auto"
    threads: int = 1
    workers: int = 1
    max_images: int = 16
    max_requests: int = 64
    max_body_bytes: int = 16 << 20
    max_pixels: int = 25_000_000
    body_timeout_s: float = 30.0
