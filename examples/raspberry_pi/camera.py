"""Says what the camera sees, frame after frame: `python -m examples.raspberry_pi.camera BUNDLE`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from examples.shared.frames import (
    Camera,
    CameraError,
    Frame,
    Frames,
    OpenCvCamera,
    PiCamera,
    camera_frames,
    first_camera,
    folder_frames,
)
from examples.shared.options import add_threshold
from examples.shared.stop import StopSignals
from hkd_edge_runtime import Answer, Decision, HkdEdgeError, InputError, Model, load
from hkd_edge_runtime.manifest import InputSpec

RATE_WINDOW = 30
CAMERAS = ("auto", "picamera2", "opencv")

log = logging.getLogger("hkd_edge.camera")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 at the end or after Ctrl-C and SIGTERM, else that of the HkdEdgeError."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO)
    try:
        with (
            StopSignals() as stop,
            load(options.bundle, options.target, options.precision, threads=options.threads) as model,
        ):
            log.info("%s on %s", model.manifest.name, model.artefact.title)
            with closing(open_source(options, model.manifest.input, stop)) as frames:
                watch(model, frames, stop, options, sys.stdout)
    except HkdEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (`| head`); without this Python complains once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def watch(model: Model, frames: Frames, stop: StopSignals, options: argparse.Namespace, out: TextIO) -> None:
    """Writes a line for each frame, at most one in `options.every` seconds, until the frames end or a signal comes."""
    rate = Rate()
    told_at = float("-inf")
    classified = 0
    for frame in frames:
        if stop.requested:
            return
        if frame is None:
            continue
        try:
            answer = model.predict(frame.image)
        except InputError as error:
            # A broken file in a folder; the others are still to be told.
            log.warning("%s", error)
            continue
        classified += 1
        now = time.monotonic()
        frames_per_s = rate.tick(now)
        if now - told_at >= options.every:
            told_at = now
            line = json_line if options.json else text_line
            decision = answer.label_or_concept(options.threshold)
            print(line(frame, answer, decision, frames_per_s), file=out, flush=True)
        if classified == options.frames:
            return


class Rate:
    """Frames per second over the last few frames."""

    def __init__(self, window: int = RATE_WINDOW) -> None:
        self._times: deque[float] = deque(maxlen=window)

    def tick(self, now: float) -> float:
        """The rate with a frame at `now` seconds; 0 for the first.

        >>> rate = Rate()
        >>> [rate.tick(now) for now in (0.0, 0.5, 1.0)]
        [0.0, 2.0, 2.0]
        """
        self._times.append(now)
        seconds = now - self._times[0]
        return (len(self._times) - 1) / seconds if seconds > 0 else 0.0


def text_line(frame: Frame, answer: Answer, decision: Decision, frames_per_s: float) -> str:
    """A line for people."""
    concepts = ", ".join(f"{axis} {each.concept or 'none'} {each.score:.2f}" for axis, each in answer.concepts.items())
    seen = f"{answer.label} {answer.score:.2f}" + (f"; {concepts}" if concepts else "")
    decided = ": ".join(filter(None, (decision.axis, decision.name))) or "unsure"
    return f"{frame.name}: {decided} ({seen}; {frames_per_s:.1f} frames/s)"


def json_line(frame: Frame, answer: Answer, decision: Decision, frames_per_s: float) -> str:
    """A line for programs."""
    return json.dumps(
        {
            "time": time.time(),
            "frame": frame.name,
            "decision": asdict(decision),
            "frames_per_s": frames_per_s,
        }
        | answer.to_dict()
    )


def open_source(options: argparse.Namespace, spec: InputSpec, stop: StopSignals) -> Frames:
    """The frames of the source that the options name.

    Raises:
        CameraError: if there is none such.
    """
    if options.source not in CAMERAS:
        return folder_frames(Path(options.source), repeat=options.repeat)
    cameras: dict[str, Camera] = {
        "picamera2": PiCamera(size=options.size),
        "opencv": OpenCvCamera(options.device, options.size),
    }
    try:
        camera = first_camera([each for name, each in cameras.items() if options.source in ("auto", name)])
    except CameraError as error:
        if options.source != "auto" or options.folder is None:
            raise CameraError(f"{error} Or name a folder of images: --source FOLDER") from error
        log.warning("no camera: %s", error)
        log.warning("reading the images in %s instead", options.folder)
        return folder_frames(options.folder, repeat=options.repeat)
    log.info("frames from %s", type(camera).__name__)
    return camera_frames(camera, spec, stop.pause, options.patience)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.raspberry_pi.camera", description="Say what a camera sees, by an hkd-edge bundle."
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle that hkd-edge made")
    parser.add_argument("--source", default="auto", help="auto (default), picamera2, opencv, or a folder of images")
    parser.add_argument("--folder", type=Path, help="folder of images that `auto` takes where there is no camera")
    parser.add_argument("--device", default="0", help="for opencv: number, video file or pipeline (default 0)")
    parser.add_argument("--size", type=_size, default=(640, 480), help="of the camera's frames (default 640x480)")
    parser.add_argument("--target", default="auto", help="onnxruntime, openvino, ... or auto (default)")
    parser.add_argument("--precision", default="auto", help="fp32, int8, ... or auto (default)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the runtime (default 1)")
    add_threshold(parser)
    parser.add_argument("--every", type=float, default=0.0, metavar="S", help="a line each S seconds at most")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after N frames")
    parser.add_argument("--repeat", action="store_true", help="read the folder again and again")
    parser.add_argument("--patience", type=float, default=60.0, metavar="S", help="end after S seconds without a frame")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
