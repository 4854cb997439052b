"""Images from a camera or a folder, one at a time, already of the model's size."""

from __future__ import annotations

import importlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime import HkdEdgeError, fit_image
from hkd_edge_runtime.manifest import InputSpec

Pixels = npt.NDArray[np.uint8]
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# A camera that hangs is noticed after this long; a frame at one per second is still in time.
FRAME_TIMEOUT_S = 2.0
# One or two frames lost are a hiccup of USB; a third says that the camera should be opened again.
LOST_BEFORE_REOPEN = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

log = logging.getLogger("hkd_edge.frames")


class CameraError(HkdEdgeError):
    """There is no camera, or it gave nothing for too long."""

    exit_code = 20


class FrameLost(Exception):
    """The camera gave no frame this time; the next may come."""


@dataclass(frozen=True)
class Frame:
    """One image for `Model.predict`.

    Attributes:
        name: the file's path, or the number of the camera's frame from 1.
        image: a path, or uint8 (H, W, C) of the model's size.
    """

    name: str
    image: Path | Pixels


# None stands for a frame that was lost. Close it, so that the camera is given back.
Frames = Generator[Frame | None, None, None]


class Camera(ABC):
    """A camera with frames of any size; `order` tells how their colours stand."""

    order: Literal["rgb", "bgr"]

    @abstractmethod
    def open(self) -> None:
        """Starts the camera; raises CameraError if it cannot."""

    @abstractmethod
    def read(self) -> Pixels | None:
        """The next frame, uint8 (h, w[, c]); None after the last; raises FrameLost if none came."""

    @abstractmethod
    def close(self) -> None:
        """Stops the camera; a second call does nothing."""


class PiCamera(Camera):
    """A camera on the ribbon cable, by picamera2; `size` is (width, height) of its frames."""

    order = "rgb"

    def __init__(self, number: int = 0, size: tuple[int, int] = (640, 480)) -> None:
        self._number = number
        self._size = size
        self._camera: Any = None

    def open(self) -> None:
        """Starts the camera; raises CameraError if there is none or another program has it."""
        picamera2 = _import("picamera2", "sudo apt install python3-picamera2, in an environment with system packages")
        known = len(picamera2.Picamera2.global_camera_info())
        if self._number >= known:
            raise CameraError(f"expected camera {self._number}, libcamera knows {known}. Check the ribbon cable.")
        try:
            self._camera = picamera2.Picamera2(self._number)
            # libcamera names a format by its bytes from the last to the first: BGR888 comes as red, green, blue.
            main = {"size": self._size, "format": "BGR888"}
            self._camera.configure(self._camera.create_video_configuration(main=main))
            self._camera.start()
        except (RuntimeError, IndexError) as error:
            self.close()
            raise CameraError(
                f"expected camera {self._number} to start: {error}. Does another program use it?"
            ) from error

    def read(self) -> Pixels | None:
        """The next frame (h, w, 3)."""
        if self._camera is None:
            raise FrameLost("the camera is closed")
        try:
            frame: Pixels = self._camera.capture_array("main", wait=FRAME_TIMEOUT_S)
        except (FutureTimeout, TimeoutError, RuntimeError, OSError) as error:
            raise FrameLost(f"no frame within {FRAME_TIMEOUT_S:g} s {error}".rstrip()) from error
        return frame

    def close(self) -> None:
        """Stops the camera and gives it back."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


class OpenCvCamera(Camera):
    """What OpenCV can open: the number of a USB camera, a video file, or a GStreamer pipeline (it has a `!`)."""

    order = "bgr"

    def __init__(self, device: str = "0", size: tuple[int, int] = (640, 480)) -> None:
        self._device = device
        self._size = size
        self._is_file = Path(device).is_file()
        self._capture: Any = None

    def open(self) -> None:
        """Starts the camera or opens the file; raises CameraError if OpenCV cannot."""
        cv2 = _import("cv2", "pip install opencv-python-headless")
        capture = self._make(cv2)
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"expected OpenCV to open {self._device!r}, it does not. Check the device's name.")
        self._capture = capture

    def read(self) -> Pixels | None:
        """The next frame (h, w, 3); None after the last of a file."""
        if self._capture is None:
            raise FrameLost("the camera is closed")
        there, frame = self._capture.read()
        if there:
            return np.asarray(frame, np.uint8)
        if self._is_file:
            return None
        raise FrameLost(f"{self._device!r} gave no frame")

    def close(self) -> None:
        """Stops the camera or closes the file."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _make(self, cv2: Any) -> Any:
        if self._is_file:
            return cv2.VideoCapture(self._device)
        if not self._device.isdecimal():
            return cv2.VideoCapture(self._device, cv2.CAP_GSTREAMER if "!" in self._device else cv2.CAP_ANY)
        capture = cv2.VideoCapture(int(self._device))
        width, height = self._size
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        # Else a slow program sees what the camera saw some frames ago.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture


def camera_frames(
    camera: Camera,
    spec: InputSpec,
    pause: Callable[[float], bool],
    patience_s: float = 60.0,
) -> Frames:
    """The frames of an open camera, fitted to the model; None for each that was lost, so that the caller lives.

    A camera that loses three frames in a row is opened anew, again and again with longer pauses. It is closed at
    the end.

    Args:
        pause: waits for some seconds; True means stop.

    Raises:
        CameraError: if no frame came for `patience_s` seconds.
    """
    number = lost = 0
    seen = time.monotonic()
    try:
        while True:
            try:
                pixels = camera.read()
            except FrameLost as loss:
                lost += 1
                if time.monotonic() - seen > patience_s:
                    raise CameraError(f"expected a frame within {patience_s:g} s: {loss}. Check the camera.") from loss
                yield None
                pause_s = min(FIRST_PAUSE_S * 2 ** (lost - 1), LONGEST_PAUSE_S)
                level = logging.WARNING if lost >= LOST_BEFORE_REOPEN else logging.DEBUG
                log.log(level, "%d frames lost (%s); trying again in %g s", lost, loss, pause_s)
                if pause(pause_s):
                    return
                if lost >= LOST_BEFORE_REOPEN:
                    _reopen(camera)
                continue
            if pixels is None:
                return
            if lost >= LOST_BEFORE_REOPEN:
                log.info("the camera is back")
            number, lost, seen = number + 1, 0, time.monotonic()
            yield Frame(str(number), fit_image(pixels, spec, order=camera.order))
    finally:
        camera.close()


def folder_frames(folder: Path, *, repeat: bool = False) -> Frames:
    """The images of a folder by their names, once or again and again.

    Raises:
        CameraError: if it has none, at first or later.
    """
    while True:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
        if not paths:
            raise CameraError(f"expected a folder of images, got {folder}, where there are none.")
        yield from (Frame(str(path), path) for path in paths)
        if not repeat:
            return


def first_camera(cameras: list[Camera]) -> Camera:
    """The first of `cameras` that opens.

    Raises:
        CameraError: with the reasons, if none does.
    """
    reasons = []
    for camera in cameras:
        try:
            camera.open()
        except CameraError as error:
            reasons.append(f"{type(camera).__name__}: {error}")
        else:
            return camera
    raise CameraError(" ".join(reasons) or "expected a camera, got none to try.")


def _reopen(camera: Camera) -> None:
    camera.close()
    try:
        camera.open()
    except CameraError as error:
        log.warning("cannot open the camera again yet: %s", error)


def _import(module: str, command: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CameraError(
            f"expected the package {module!r}, it cannot be imported ({error}). Run: {command}"
        ) from error
