"""Decoding: image modes, EXIF orientation, forms of masks, and damaged or unsafe files."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from venation.data.data_config import DataConfig
from venation.data.images import binarise, read_image, read_mask, to_rgb
from venation.data.inspection import inspect_image, inspect_mask
from venation.data.transforms import (
    eval_image,
)
from venation.errors import DataError


def test_modes_and_orientation_of_images(save):
    grey = np.arange(120, dtype=np.uint8).reshape(10, 12)
    wanted = np.repeat(grey[..., None], 3, axis=2)
    for image in (
        Image.fromarray(grey),
        Image.fromarray(grey.astype(np.uint16) * 257),
        Image.fromarray(np.dstack([wanted, np.zeros_like(grey)])),
        Image.fromarray(grey).convert("P"),
        Image.merge("LA", [Image.fromarray(grey)] * 2),
    ):
        np.testing.assert_array_equal(np.asarray(to_rgb(image)), wanted)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save("turned.png", wanted, exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.rot90(wanted, -1))
    np.testing.assert_array_equal(
        eval_image(np.rot90(wanted, -1), DataConfig()), eval_image(read_image(path), DataConfig())
    )
    with pytest.raises(DataError, match=r"float.tif cannot be decoded .*32-bit .*: replace"):
        read_image(save("float.tif", np.ones((4, 4), np.float32)))


def test_all_formats_of_masks(save):
    structure = np.zeros((10, 12), np.uint8)
    structure[2:5, 3:9] = 1
    palette = Image.new("P", (12, 10))
    palette.putdata(structure.ravel().tolist())
    palette.putpalette([0, 0, 0, 128, 0, 0])
    swapped = Image.new("P", (12, 10))
    swapped.putdata((1 - structure).ravel().tolist())
    swapped.putpalette([255, 255, 255, 0, 0, 0])
    bright = palette.copy()
    bright.putpalette([0, 0, 90, 255, 200, 0])
    for mask in (
        Image.fromarray(structure),
        Image.fromarray(structure * 255),
        Image.fromarray(structure.astype(bool)),
        Image.fromarray(structure.astype(np.uint16) * 7),
        Image.fromarray(np.dstack([structure * 0, structure * 9, structure * 0])),
        Image.fromarray(np.dstack([structure] * 3 + [structure * 0 + 255])),
        palette,
        swapped,
        bright,
    ):
        np.testing.assert_array_equal(binarise(mask), structure, err_msg=mask.mode)
    assert read_mask(save("m.png", structure * 255), (12, 10)).sum() == structure.sum()


@pytest.mark.parametrize("palette", [None, [0, 0, 0, 200, 30, 0], [200, 30, 0, 0, 0, 0], [0, 0, 90, 200, 30, 0]])
def test_gif_masks_follow_the_rules_of_palettes(tmp_path, palette):
    structure = np.zeros((10, 12), np.uint8)
    structure[2:5, 3:9] = 1
    image = Image.fromarray(structure * 255)
    if palette is not None:
        black_last = palette[3:] == [0, 0, 0]
        image = Image.fromarray(1 - structure if black_last else structure, "P")
        image.putpalette(palette)
    image.save(tmp_path / "m.gif", optimize=False)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.gif", (12, 10)), structure)
    assert inspect_mask(tmp_path / "m.gif", None) == []


def test_only_the_first_frame_of_a_mask_is_read(tmp_path):
    first, second = np.zeros((10, 12), np.uint8), np.zeros((10, 12), np.uint8)
    first[2:5, 3:9] = 255
    second[6:8, 1:3] = 255
    for name in ("m.gif", "m.tif"):
        Image.fromarray(first).save(tmp_path / name, save_all=True, append_images=[Image.fromarray(second)])
        np.testing.assert_array_equal(read_mask(tmp_path / name, (12, 10)), first > 0)
        ((level, code, message),) = inspect_mask(tmp_path / name, None)
        assert (level, code) == ("warning", "frames")
        assert message == "2 frames, only the first is read: save the one to use as PNG"


def test_gif_is_read_for_masks_only(save):
    path = save("1.gif", np.eye(10, 12, dtype=np.uint8)).rename(save("1.png"))
    with pytest.raises(
        DataError, match=r"\(not recognised as one of BMP, (HEIF, )?JPEG, PNG, TIFF, WEBP\): replace or remove"
    ):
        read_image(path)
    assert inspect_image(path)[0] is None
    np.testing.assert_array_equal(read_mask(path, (12, 10)), np.eye(10, 12))


def test_a_mask_of_an_unknown_format_is_refused_with_the_formats(tmp_path):
    np.save(tmp_path / "m.npy", np.ones((10, 12)))
    with pytest.raises(DataError, match=r"mask .*m.npy cannot .* one of BMP, GIF, JPEG, PNG, TIFF, WEBP\): replace"):
        read_mask(tmp_path / "m.npy", (12, 10))


def test_a_mask_with_the_size_before_exif_rotation_is_refused(save):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(save("i.jpg", exif=exif))
    assert image.shape == (12, 10, 3)
    mask = save("m.png", np.ones((10, 12), np.uint8))
    with pytest.raises(DataError, match=r"mask .*m.png is 12x10 but its image, upright, is 10x12: make them the same"):
        read_mask(mask, (10, 12))


def test_damaged_file_is_named(save):
    path = save("cut.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"image .*cut.jpg cannot be decoded \(.*truncated.*\): replace or remove it"):
        read_image(path)
    assert read_image(save("whole.jpg", size=(64, 64))).shape == (64, 64, 3)


_LARGE = """
import sys
from pathlib import Path
from PIL import Image
from venation.data.images import read_image
Image.MAX_IMAGE_PIXELS = 4000
print(read_image(Path(sys.argv[1])).shape)
"""


def test_a_large_scan_is_read_without_lines_of_pillow_and_a_larger_one_is_refused(save, monkeypatch):
    path = save("scan.png", size=(100, 50))
    ran = subprocess.run([sys.executable, "-c", _LARGE, path], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("(50, 100, 3)\n", "")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with pytest.raises(DataError, match=r"scan.png cannot be decoded \(Image size \(5000 pixels\) exceeds limit"):
        read_image(path)


def test_no_file_makes_pil_start_a_program(tmp_path):
    """PIL would pass an EPS file with an image's extension to Ghostscript."""
    eps = tmp_path / "leaf.png"
    eps.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n")
    with Image.open(eps) as image:
        assert image.format == "EPS"
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(eps)
    with pytest.raises(DataError, match="cannot be decoded"):
        read_mask(eps, (20, 20))
    assert inspect_image(eps)[0] is None
