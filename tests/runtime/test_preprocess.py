from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hkd_edge_runtime.errors import InputError, MissingBackendError
from hkd_edge_runtime.manifest import InputSpec
from hkd_edge_runtime.preprocess import fit_image, read_image_bytes, to_batch, to_pixels

GREY = InputSpec(4, 5, 1)
RGB = InputSpec(4, 5, 3, color="rgb")

# An L: no turn or mirror image of it is the same.
DRAWING = np.array(
    [[9, 0, 0, 0, 0], [99, 0, 0, 0, 0], [199, 0, 0, 0, 0], [255, 255, 255, 0, 0]],
    np.uint8,
)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Saves a Pillow image and returns its path."""

    def save(image: Image.Image, name: str = "image.png", **options: Any) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def test_a_grey_file_gives_its_own_pixels(saved: Callable[..., Path]) -> None:
    pixels = to_pixels(saved(Image.fromarray(DRAWING)), GREY)
    assert pixels.shape == (4, 5, 1)
    assert np.array_equal(pixels[..., 0], DRAWING)


def test_a_path_may_be_text(saved: Callable[..., Path]) -> None:
    assert np.array_equal(to_pixels(str(saved(Image.fromarray(DRAWING))), GREY)[..., 0], DRAWING)


def test_a_colour_file_keeps_the_order_red_green_blue(saved: Callable[..., Path]) -> None:
    pixels = to_pixels(saved(Image.new("RGB", (5, 4), (250, 100, 3))), RGB)
    assert pixels.shape == (4, 5, 3)
    assert pixels[0, 0].tolist() == [250, 100, 3]


def test_colour_becomes_grey_by_the_luma_of_itu_r_601(saved: Callable[..., Path]) -> None:
    pixels = to_pixels(saved(Image.new("RGB", (5, 4), (200, 100, 50))), GREY)
    assert pixels[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def test_grey_becomes_colour_with_three_equal_channels(saved: Callable[..., Path]) -> None:
    pixels = to_pixels(saved(Image.fromarray(DRAWING)), RGB)
    assert np.array_equal(pixels, np.stack([DRAWING] * 3, axis=-1))


def test_transparency_is_laid_on_black(saved: Callable[..., Path]) -> None:
    image = Image.new("RGBA", (5, 4), (200, 100, 50, 0))
    image.putpixel((1, 2), (200, 100, 50, 255))
    pixels = to_pixels(saved(image), RGB)
    assert pixels[2, 1].tolist() == [200, 100, 50]
    assert pixels.sum() == 350


def test_grey_with_transparency_is_laid_on_black(saved: Callable[..., Path]) -> None:
    assert to_pixels(saved(Image.new("LA", (5, 4), (200, 0))), GREY).sum() == 0


def test_a_palette_is_looked_up(saved: Callable[..., Path]) -> None:
    image = Image.new("RGB", (5, 4), (250, 100, 3)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert image.mode == "P"
    assert to_pixels(saved(image), RGB)[0, 0].tolist() == [250, 100, 3]


def test_a_transparent_colour_of_a_palette_is_black(saved: Callable[..., Path]) -> None:
    image = Image.new("P", (5, 4), 1)
    image.putpalette([0, 0, 0, 250, 100, 3])
    assert to_pixels(saved(image, "image.gif", transparency=1), RGB).sum() == 0


def test_black_and_white_becomes_0_and_255(saved: Callable[..., Path]) -> None:
    image = Image.fromarray(DRAWING > 100)
    assert image.mode == "1"
    assert np.array_equal(to_pixels(saved(image), GREY)[..., 0], np.where(DRAWING > 100, 255, 0))


@pytest.mark.parametrize("name", ["image.png", "image.tiff"])
def test_sixteen_bits_are_scaled_to_eight_and_not_clipped(saved: Callable[..., Path], name: str) -> None:
    wide = DRAWING.astype(np.uint16) * 257
    assert np.array_equal(to_pixels(saved(Image.fromarray(wide), name), GREY)[..., 0], DRAWING)


def test_sixteen_bits_are_rounded_to_the_nearest(saved: Callable[..., Path]) -> None:
    wide = np.full((4, 5), 128, np.uint16)
    wide[0] = 129
    assert to_pixels(saved(Image.fromarray(wide)), GREY)[:2, 0, 0].tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_without_a_known_range_are_refused(saved: Callable[..., Path], dtype: Any) -> None:
    with pytest.raises(InputError, match="expected 8 or 16 bits per channel, got 32"):
        to_pixels(saved(Image.fromarray(DRAWING.astype(dtype)), "image.tiff"), GREY)


def test_a_photo_turned_by_its_exif_tag_is_set_upright(saved: Callable[..., Path]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    path = saved(Image.fromarray(np.rot90(DRAWING)), exif=exif)
    assert np.array_equal(to_pixels(path, GREY)[..., 0], DRAWING)


@pytest.mark.parametrize("resize", ["bilinear", "bicubic", "nearest"])
def test_another_size_is_fitted_with_the_filter_of_the_manifest(saved: Callable[..., Path], resize: Any) -> None:
    image = Image.fromarray(np.kron(DRAWING, np.ones((7, 3), np.uint8)))
    expected = image.resize((5, 4), Image.Resampling[resize.upper()])
    pixels = to_pixels(saved(image), InputSpec(4, 5, 1, resize=resize))
    assert np.array_equal(pixels[..., 0], np.asarray(expected))


def test_a_jpeg_comes_near_enough(saved: Callable[..., Path]) -> None:
    pixels = to_pixels(saved(Image.new("L", (50, 40), 77), "image.jpg"), GREY)
    assert np.abs(pixels.astype(int) - 77).max() <= 1


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(InputError, match="expected an image file that Pillow can read: cannot identify"):
        to_pixels(tmp_path / "notes.png", GREY)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file") as caught:
        to_pixels(tmp_path / "nowhere.png", GREY)
    assert caught.value.exit_code == 12


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an image file"):
        to_pixels(tmp_path, GREY)


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.gif", "image.tiff", "image.bmp"])
def test_a_file_cut_short_is_refused(saved: Callable[..., Path], name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    path = saved(Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="expected an image file that Pillow can read"):
        to_pixels(path, GREY)


def test_without_pillow_the_pip_command_is_named(saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(Image.fromarray(DRAWING))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingBackendError, match='Run: pip install "pillow>=10"'):
        to_pixels(path, GREY)


def test_an_array_is_taken_as_it_is_without_a_copy() -> None:
    for array in (DRAWING, DRAWING[..., None]):
        pixels = to_pixels(array, GREY)
        assert pixels.shape == (4, 5, 1)
        assert np.shares_memory(pixels, DRAWING)


@pytest.mark.parametrize(
    ("array", "spec", "message"),
    [
        (DRAWING / 255, GREY, "expected dtype uint8, got float64"),
        (np.full((4, 5), np.nan, np.float32), GREY, "expected dtype uint8, got float32"),
        (DRAWING > 0, GREY, "expected dtype uint8, got bool"),
        (DRAWING.T, GREY, "expected shape (4, 5, 1), got (5, 4, 1)"),
        (np.zeros((4, 5, 3), np.uint8), GREY, "expected shape (4, 5, 1), got (4, 5, 3)"),
        (np.zeros((4, 5, 4), np.uint8), RGB, "expected shape (4, 5, 3), got (4, 5, 4)"),
        (DRAWING, RGB, "expected shape (4, 5, 3), got (4, 5)"),
        (np.zeros((1, 4, 5, 1), np.uint8), GREY, "expected shape (4, 5, 1), got (1, 4, 5, 1)"),
        (np.zeros((), np.uint8), GREY, "expected shape (4, 5, 1), got ()"),
        ([[0]], GREY, "expected a path or a uint8 array, got list"),
        (None, GREY, "expected a path or a uint8 array, got NoneType"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(array: Any, spec: InputSpec, message: str) -> None:
    with pytest.raises(InputError) as caught:
        to_pixels(array, spec)
    assert message in str(caught.value)


def test_a_batch_may_be_an_array_with_or_without_channels() -> None:
    images = np.stack([DRAWING, DRAWING])
    assert to_batch(images, GREY).shape == (2, 4, 5, 1)
    assert to_batch(images[..., None], GREY).shape == (2, 4, 5, 1)


def test_a_batch_may_mix_paths_and_arrays(saved: Callable[..., Path]) -> None:
    batch = to_batch([saved(Image.fromarray(DRAWING)), DRAWING], GREY)
    assert np.array_equal(batch[0], batch[1])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "expected at least one image, got an empty batch"),
        (np.zeros((0, 4, 5, 1), np.uint8), "expected at least one image, got an empty batch"),
        (np.zeros((2, 4, 5, 1), np.float32), "expected dtype uint8, got float32"),
        (np.zeros((2, 4, 5, 3), np.uint8), "expected shape (N, 4, 5, 1), got (2, 4, 5, 3)"),
        (DRAWING, "expected shape (N, 4, 5, 1), got (4, 5)"),
        ("image.png", "got str. For one image call predict."),
        (Path("image.png"), "For one image call predict."),
        (7, "expected a uint8 array (N, H, W, C) or a list of paths and arrays, got int"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(images: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        to_batch(images, GREY)
    assert message in str(caught.value)


PHOTO = np.random.default_rng(3).integers(0, 256, (37, 51, 3), np.uint8)


@pytest.mark.parametrize("spec", [GREY, RGB, InputSpec(4, 5, 3, color="rgb", resize="bicubic")])
@pytest.mark.parametrize("picture", [PHOTO, PHOTO[..., 0], DRAWING], ids=["colour", "grey", "of its size"])
def test_an_array_is_fitted_as_its_file_would_be(
    saved: Callable[..., Path], picture: np.ndarray, spec: InputSpec
) -> None:
    expected = to_pixels(saved(Image.fromarray(picture)), spec)
    assert np.array_equal(fit_image(picture, spec), expected)
    assert np.array_equal(fit_image(picture[:, ::-1][:, ::-1], spec), expected)


def test_blue_may_stand_first() -> None:
    for spec in (GREY, RGB):
        assert np.array_equal(fit_image(PHOTO[..., ::-1], spec, order="bgr"), fit_image(PHOTO, spec))


def test_the_opacity_of_an_array_is_its_last_channel_in_both_orders() -> None:
    blue = np.zeros((4, 5, 4), np.uint8)
    blue[..., 2] = 200
    blue[1, 1, 3] = 255
    assert fit_image(blue, RGB).sum(axis=(0, 1)).tolist() == [0, 0, 200]
    assert fit_image(blue, RGB, order="bgr").sum(axis=(0, 1)).tolist() == [200, 0, 0]


def test_a_grey_array_may_have_a_channel_of_its_own() -> None:
    assert np.array_equal(fit_image(DRAWING[..., None], GREY)[..., 0], DRAWING)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5), np.float32), "expected dtype uint8, got float32"),
        (np.zeros((4, 5, 2), np.uint8), "expected shape (h, w) or (h, w, 1, 3 or 4), got (4, 5, 2)"),
        (np.zeros((0, 5), np.uint8), "got (0, 5)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "got (2, 4, 5, 3)"),
        (None, "expected a uint8 array, got NoneType"),
    ],
)
def test_what_is_no_picture_cannot_be_fitted(array: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        fit_image(array, GREY)
    assert message in str(caught.value)


def test_an_unknown_order_of_colours_is_a_programmers_mistake() -> None:
    with pytest.raises(ValueError, match="order: expected one of rgb, bgr, got 'gbr'"):
        fit_image(PHOTO, RGB, order="gbr")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.gif"])
def test_bytes_give_the_pixels_of_their_file(saved: Callable[..., Path], name: str) -> None:
    path = saved(Image.fromarray(PHOTO), name)
    assert np.array_equal(read_image_bytes(path.read_bytes(), RGB), to_pixels(path, RGB))


@pytest.mark.parametrize("size", [0, 20, 500])
def test_bytes_that_are_no_whole_image_are_refused(saved: Callable[..., Path], size: int) -> None:
    content = saved(Image.fromarray(PHOTO)).read_bytes()[:size]
    with pytest.raises(InputError, match="upload: expected an image file that Pillow can read: [^<]*$"):
        read_image_bytes(content, RGB, name="upload")


def test_another_format_than_asked_for_is_refused(saved: Callable[..., Path]) -> None:
    content = saved(Image.fromarray(PHOTO), "image.gif").read_bytes()
    assert read_image_bytes(content, RGB, formats=["GIF"]).shape == (4, 5, 3)
    with pytest.raises(InputError, match=r"cannot identify its format \(out of JPEG, PNG\)"):
        read_image_bytes(content, RGB, formats=["JPEG", "PNG"])


def test_too_many_pixels_are_refused_before_they_are_decoded(saved: Callable[..., Path]) -> None:
    content = saved(Image.fromarray(PHOTO)).read_bytes()
    assert read_image_bytes(content, RGB, max_pixels=37 * 51).shape == (4, 5, 3)
    # The picture is cut off behind its header: had it been decoded, the message would be another.
    with pytest.raises(InputError, match="at most 1886 pixels, got 51 x 37 = 1887"):
        read_image_bytes(content[:100], RGB, max_pixels=37 * 51 - 1)
