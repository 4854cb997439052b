from __future__ import annotations

import sys
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from examples.shared.frames import (
    FRAME_TIMEOUT_S,
    Camera,
    CameraError,
    Frame,
    FrameLost,
    OpenCvCamera,
    PiCamera,
    camera_frames,
    first_camera,
    folder_frames,
)
from hkd_edge_runtime import fit_image
from hkd_edge_runtime.manifest import InputSpec

GREY = InputSpec(8, 8, 1)
RGB = InputSpec(8, 8, 3, color="rgb")


class FakePicamera2:
    """The calls of picamera2.Picamera2 that are used, with its names for formats and its time-outs.

    `plan` holds the frames as red, green, blue; None stands for one that does not come in time.
    """

    plan: ClassVar[list[np.ndarray | None]] = []
    cameras: ClassVar[list[dict[str, object]]] = [{"Model": "imx708", "Num": 0}]
    refuses = 0
    opened: ClassVar[list[FakePicamera2]] = []

    @staticmethod
    def global_camera_info() -> list[dict[str, object]]:
        return FakePicamera2.cameras

    def __init__(self, camera_num: int = 0) -> None:
        if FakePicamera2.refuses:
            FakePicamera2.refuses -= 1
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self.number = camera_num
        self.calls: list[str] = []
        self.format = ""
        FakePicamera2.opened.append(self)

    def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
        assert set(main) <= {"size", "format"}
        assert main["format"] in ("BGR888", "RGB888", "XBGR8888")
        return {"use": "video", "main": main}

    def configure(self, config: dict[str, Any]) -> None:
        assert config["use"] == "video"
        self.calls.append("configure")
        self.format = config["main"]["format"]

    def start(self) -> None:
        assert self.calls == ["configure"]
        self.calls.append("start")

    def capture_array(self, name: str = "main", wait: float | bool | None = None) -> np.ndarray:
        assert (name, wait) == ("main", FRAME_TIMEOUT_S)
        assert self.calls[-1] == "start"
        frame = FakePicamera2.plan.pop(0)
        if frame is None:
            raise FutureTimeout
        # libcamera names a format from its last byte to its first.
        return frame if self.format == "BGR888" else frame[..., ::-1]

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    for name, value in (("plan", []), ("opened", []), ("refuses", 0)):
        monkeypatch.setattr(FakePicamera2, name, value)
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=FakePicamera2))
    return FakePicamera2


@pytest.fixture
def pauses() -> list[float]:
    return []


def collect(camera: Camera, spec: InputSpec, count: int, pauses: list[float], patience_s: float = 60) -> list[Any]:
    """The next `count` of a camera's frames, lost ones too; the pauses are noted and not taken."""
    camera.open()
    frames = camera_frames(camera, spec, lambda seconds: bool(pauses.append(seconds)), patience_s)
    taken = [next(frames) for _ in range(count)]
    frames.close()
    return taken


def test_the_frames_of_a_pi_camera_are_fitted_with_their_colours_in_order(
    picamera2: type[FakePicamera2], large_images: np.ndarray, pauses: list[float]
) -> None:
    picamera2.plan = list(large_images[:3])
    frames = collect(PiCamera(), RGB, 3, pauses)
    assert [frame.name for frame in frames] == ["1", "2", "3"]
    for frame, image in zip(frames, large_images[:3], strict=True):
        assert np.array_equal(frame.image, fit_image(image, RGB))
    assert picamera2.opened[0].calls == ["configure", "start", "close"]


def test_a_lost_frame_is_passed_over(
    picamera2: type[FakePicamera2], large_images: np.ndarray, pauses: list[float]
) -> None:
    picamera2.plan = [large_images[0], None, None, large_images[1]]
    frames = collect(PiCamera(), GREY, 4, pauses)
    assert [frame and frame.name for frame in frames] == ["1", None, None, "2"]
    assert len(picamera2.opened) == 1
    assert pauses == [0.1, 0.2]


def test_a_camera_that_hangs_is_opened_again_until_it_comes_back(
    picamera2: type[FakePicamera2], large_images: np.ndarray, pauses: list[float]
) -> None:
    camera = PiCamera()
    picamera2.plan = [None, None, None, large_images[0]]
    camera.open()
    picamera2.refuses = 2
    frames = camera_frames(camera, GREY, lambda seconds: bool(pauses.append(seconds)))
    taken = [next(frames) for _ in range(6)]
    assert [frame and frame.name for frame in taken] == [None] * 5 + ["1"]
    assert [each.calls[-1] for each in picamera2.opened] == ["close", "start"]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    frames.close()
    assert picamera2.opened[1].calls[-1] == "close"


def test_pauses_grow_to_a_limit_and_patience_ends(
    picamera2: type[FakePicamera2], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("examples.shared.frames.time.monotonic", lambda: now)

    def pause(seconds: float) -> bool:
        nonlocal now
        now += seconds
        pauses.append(seconds)
        return False

    picamera2.plan = [None] * 100
    camera = PiCamera()
    camera.open()
    with pytest.raises(CameraError, match="expected a frame within 60 s: no frame within 2 s. Check the camera"):
        list(camera_frames(camera, GREY, pause, 60))
    assert max(pauses) == 5.0
    assert 60 < sum(pauses) <= 66
    assert all(each.calls[-1] == "close" for each in picamera2.opened)


def test_a_stop_while_it_waits_for_the_camera_ends_the_frames(picamera2: type[FakePicamera2]) -> None:
    picamera2.plan = [None]
    camera = PiCamera()
    camera.open()
    assert list(camera_frames(camera, GREY, lambda seconds: True)) == [None]
    assert picamera2.opened[0].calls[-1] == "close"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": []}, "expected camera 0, libcamera knows 0. Check the ribbon cable"),
        ({"refuses": 1}, "expected camera 0 to start: Failed to acquire .* Does another program use it"),
    ],
)
def test_a_pi_camera_that_does_not_start_says_why(
    picamera2: type[FakePicamera2], change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in change.items():
        monkeypatch.setattr(picamera2, name, value)
    with pytest.raises(CameraError, match=message):
        PiCamera().open()


@pytest.mark.parametrize(("module", "camera"), [("picamera2", PiCamera()), ("cv2", OpenCvCamera())])
def test_without_its_package_a_camera_names_the_command(
    module: str, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CameraError, match=f"expected the package '{module}', .* Run: ") as caught:
        camera.open()
    assert caught.value.exit_code == 20


@pytest.mark.parametrize("camera", [PiCamera(), OpenCvCamera()])
def test_a_closed_camera_loses_its_frames(camera: Camera) -> None:
    with pytest.raises(FrameLost, match="the camera is closed"):
        camera.read()
    camera.close()


@pytest.fixture
def video(tmp_path: Path, large_images: np.ndarray) -> Path:
    """A video with each image once, drawn by OpenCV."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "digits.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (96, 96))
    assert writer.isOpened()
    for image in large_images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    return path


def test_opencv_reads_a_video_to_its_end_with_its_colours_in_order(
    video: Path, large_images: np.ndarray, pauses: list[float]
) -> None:
    camera = OpenCvCamera(str(video))
    camera.open()
    frames = [frame for frame in camera_frames(camera, RGB, lambda seconds: False) if frame]
    assert len(frames) == len(large_images)
    for frame, image in zip(frames, large_images, strict=True):
        # JPEG changes pixels a little; swapped colours would change them by up to 127.
        difference = np.abs(np.asarray(frame.image, int) - fit_image(image, RGB))
        assert difference.mean() < 8
        assert np.abs(np.asarray(frame.image, int) - fit_image(image, RGB)[..., ::-1]).mean() > 15


def test_what_opencv_cannot_open_is_refused() -> None:
    pytest.importorskip("cv2")
    with pytest.raises(CameraError, match="expected OpenCV to open 'nowhere.avi', it does not"):
        OpenCvCamera("nowhere.avi").open()


class FakeCapture:
    """cv2.VideoCapture of a USB camera that loses every second frame."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.settings: dict[int, int] = {}
        self.reads = 0
        self.released = False

    def isOpened(self) -> bool:
        return not self.released

    def set(self, name: int, value: int) -> bool:
        self.settings[name] = value
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.reads += 1
        return (True, np.full((48, 64, 3), 9, np.uint8)) if self.reads % 2 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[FakeCapture]:
    made: list[FakeCapture] = []

    def make(*arguments: object) -> FakeCapture:
        made.append(FakeCapture(*arguments))
        return made[-1]

    names = {"CAP_ANY": 0, "CAP_GSTREAMER": 1800}
    names |= {"CAP_PROP_FRAME_WIDTH": 3, "CAP_PROP_FRAME_HEIGHT": 4, "CAP_PROP_BUFFERSIZE": 38}
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(VideoCapture=make, **names))
    return made


def test_a_usb_camera_that_loses_frames_is_passed_over(captures: list[FakeCapture], pauses: list[float]) -> None:
    frames = collect(OpenCvCamera("1", (64, 48)), GREY, 5, pauses)
    assert [frame and frame.name for frame in frames] == ["1", None, "2", None, "3"]
    assert captures[0].arguments == (1,)
    assert captures[0].settings == {3: 64, 4: 48, 38: 1}
    assert captures[0].released


def test_a_pipeline_goes_to_gstreamer(captures: list[FakeCapture]) -> None:
    OpenCvCamera("nvarguscamerasrc ! appsink").open()
    OpenCvCamera("rtsp://camera/stream").open()
    assert [each.arguments[1] for each in captures] == [1800, 0]


def test_the_first_camera_that_opens_is_taken(picamera2: type[FakePicamera2], captures: list[FakeCapture]) -> None:
    assert isinstance(first_camera([PiCamera(), OpenCvCamera()]), PiCamera)
    picamera2.refuses = 1
    assert isinstance(first_camera([PiCamera(), OpenCvCamera()]), OpenCvCamera)


def test_a_folder_gives_its_images_by_name_and_again_if_wanted(pictures: Path) -> None:
    (pictures / "notes.txt").write_text("no image")
    paths = sorted(pictures.glob("*.png"))
    assert [frame and frame.image for frame in folder_frames(pictures)] == paths
    repeated = folder_frames(pictures, repeat=True)
    assert [next(repeated) for _ in range(2 * len(paths))] == [Frame(str(path), path) for path in paths * 2]


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_a_folder_without_images_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CameraError, match="expected a folder of images, got .*, where there are none"):
        next(folder_frames(tmp_path / name))
