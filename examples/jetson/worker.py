"""The service: `python -m examples.jetson.worker BUNDLE --watch FOLDER`, or `--camera DEVICE`.

It is ready when the bundle is open, with TensorRT when the engine is built, and its golden images have been answered
as they should be.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from examples.jetson.inbox import Inbox
from examples.jetson.notify import sd_notify, watchdog_interval_s
from examples.shared.frames import Frames, OpenCvCamera, camera_frames, first_camera
from examples.shared.options import add_threshold
from examples.shared.stop import StopSignals
from hkd_edge_runtime import Answer, HkdEdgeError, InputError, Model, load

log = logging.getLogger("hkd_edge.worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after SIGTERM and Ctrl-C, else that of the HkdEdgeError; 1 if a file cannot be written."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO)
    try:
        with StopSignals() as stop:
            _serve(options, stop)
    except (HkdEdgeError, OSError) as error:
        sd_notify(f"STATUS=failed: {error}")
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, HkdEdgeError) else 1
    return 0


def _serve(options: argparse.Namespace, stop: StopSignals) -> None:
    sd_notify(f"STATUS=opening {options.bundle}")
    started = time.monotonic()
    with load(options.bundle, options.target, options.precision, threads=options.threads) as model:
        ready = f"{model.manifest.name} on {model.artefact.title}, ready after {time.monotonic() - started:.1f} s"
        log.info("%s", ready)
        pulse = Pulse()
        if options.watch is not None:
            inbox = Inbox(options.watch, delete=options.delete)
            sd_notify("READY=1", f"STATUS={ready}")
            watch_inbox(model, inbox, stop, pulse, options)
        else:
            camera = first_camera([OpenCvCamera(options.camera, options.size)])
            sd_notify("READY=1", f"STATUS={ready}")
            with closing(camera_frames(camera, model.manifest.input, stop.pause, options.patience)) as frames:
                watch_camera(model, frames, stop, pulse, options.threshold)
    sd_notify("STOPPING=1")
    log.info("stopped")


def watch_inbox(model: Model, inbox: Inbox, stop: StopSignals, pulse: Pulse, options: argparse.Namespace) -> None:
    """Classifies the images that arrive until a signal comes; the one at hand is finished first."""
    while not stop.requested:
        pulse.beat()
        for image in inbox.settled():
            if stop.requested:
                return
            pulse.beat()
            classify_file(model, inbox, image, options.threshold)
        stop.pause(options.poll)


def watch_camera(model: Model, frames: Frames, stop: StopSignals, pulse: Pulse, threshold: float | None) -> None:
    """Prints the result of each frame until a signal comes or the frames end."""
    for frame in frames:
        pulse.beat()
        if stop.requested:
            return
        if frame is not None:
            _print({"frame": frame.name} | result_of(model, model.predict(frame.image), threshold))


def classify_file(model: Model, inbox: Inbox, image: Path, threshold: float | None) -> None:
    """Writes the result of one image, or why there is none, and takes the image out of the inbox."""
    try:
        answer = model.predict(image)
    except InputError as error:
        if not image.exists():
            log.warning("%s: was taken away before it could be read", image.name)
            return
        log.warning("%s", error)
        inbox.finish(image, {"image": image.name, "time": time.time(), "error": str(error)}, failed=True)
        return
    result = {"image": image.name} | result_of(model, answer, threshold)
    inbox.finish(image, result)
    _print(result)


def result_of(model: Model, answer: Answer, threshold: float | None) -> dict[str, object]:
    """What is written of an answer, as plain JSON values."""
    return {
        "time": time.time(),
        "artefact": model.artefact.title,
        "decision": asdict(answer.label_or_concept(threshold)),
    } | answer.to_dict()


class Pulse:
    """Keeps systemd's watchdog quiet, as often as it asks and no more."""

    def __init__(self) -> None:
        self._interval_s = watchdog_interval_s()
        self._last = float("-inf")

    def beat(self) -> None:
        """Sends WATCHDOG=1 if it is time."""
        now = time.monotonic()
        if self._interval_s is not None and now - self._last >= self._interval_s:
            self._last = now
            sd_notify("WATCHDOG=1")


def _print(result: dict[str, object]) -> None:
    print(json.dumps(result), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.jetson.worker", description="Classify what arrives in a folder, or a camera's frames."
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle that hkd-edge made")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--watch", type=Path, metavar="FOLDER", help="classify what arrives in FOLDER/inbox")
    source.add_argument("--camera", metavar="DEVICE", help="number, video file or GStreamer pipeline for OpenCV")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("W", "H"), help="of a USB camera")
    parser.add_argument("--patience", type=float, default=60.0, metavar="S", help="end after S seconds without a frame")
    parser.add_argument("--delete", action="store_true", help="delete classified images; else they go to FOLDER/done")
    parser.add_argument("--poll", type=float, default=0.5, metavar="S", help="look into the inbox each S seconds")
    parser.add_argument("--target", default="auto", help="tensorrt, onnxruntime, ... or auto (default)")
    parser.add_argument("--precision", default="auto", help="fp16, int8, ... or auto (default)")
    parser.add_argument("--threads", type=int, default=1, help="threads of a runtime on the CPU (default 1)")
    add_threshold(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
