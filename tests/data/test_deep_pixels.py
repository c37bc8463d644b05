"""Images with more than 8 bits: exact values in every layout, and their scaling by the white."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.deep_pixels import deep_values, to_8_bits
from venation.data.images import open_image, read_image
from venation.data.inspection import inspect_image
from venation.data.manifest import load_manifest
from venation.errors import DataError

COLOURS = np.random.default_rng(0).integers(0, 4096, (10, 12, 3), dtype=np.uint16)


def write_tiff(path, pixels, *, big=False, planes=False, deflate=False, exif_turn=1):
    """Write a TIFF of 16-bit colours, which Pillow cannot write, by the TIFF 6.0 specification."""
    order, high = (">", b"MM") if big else ("<", b"II")
    height, width, channels = pixels.shape
    data = (pixels.transpose(2, 0, 1) if planes else pixels).astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if deflate else data
    data += bytes(len(data) % 2)
    strips = channels if planes else 1
    rows = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [16] * channels),
        (259, 3, [8 if deflate else 1]),
        (262, 3, [2]),
    ]
    step = len(data) // strips
    rows += [(273, 4, [8 + step * n for n in range(strips)]), (274, 3, [exif_turn]), (277, 3, [channels])]
    rows += [(278, 4, [height]), (279, 4, [step] * strips), (284, 3, [2 if planes else 1])]
    body, extra = b"", b""
    after = 8 + len(data) + 2 + 12 * len(rows) + 4
    for tag, kind, values in rows:
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, extra = struct.pack(f"{order}I", after + len(extra)), extra + packed
        body += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    header = high + struct.pack(f"{order}HI", 42, 8 + len(data))
    path.write_bytes(header + data + struct.pack(f"{order}H", len(rows)) + body + bytes(4) + extra)
    return path


def write_png(path, pixels, colour_type):
    """Write a 16-bit PNG after its specification."""
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    parts = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def values_of(path):
    with open_image(path) as image, open_image(path) as again:
        return deep_values(image, again)


def scaled(values, white):
    """Scale as the documentation says, in plain NumPy."""
    return np.rint(np.minimum(values.astype(float), white) / white * 255)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("deflate", [False, True])
def test_16_bit_colours_of_tiff_keep_every_bit(tmp_path, big, deflate):
    path = write_tiff(tmp_path / "c.tif", COLOURS, big=big, deflate=deflate)
    np.testing.assert_array_equal(values_of(path), COLOURS)
    np.testing.assert_array_equal(np.asarray(read_image(path, DataConfig(white=4095))), scaled(COLOURS, 4095))
    turned = write_tiff(tmp_path / "t.tif", COLOURS, big=big, exif_turn=6)
    np.testing.assert_array_equal(values_of(turned), np.rot90(COLOURS, -1))


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colours_of_png_keep_every_bit(tmp_path, channels):
    pixels = np.random.default_rng(1).integers(0, 65536, (10, 12, channels), dtype=np.uint16)
    path = write_png(tmp_path / "c.png", pixels, 2 if channels == 3 else 6)
    np.testing.assert_array_equal(values_of(path), pixels)
    np.testing.assert_array_equal(np.asarray(read_image(path, DataConfig(white=20000))), scaled(pixels[..., :3], 20000))
    # Without a white, the upper byte, as before there was one.
    np.testing.assert_array_equal(np.asarray(read_image(path)), pixels[..., :3] >> 8)


@pytest.mark.parametrize("big", [False, True])
def test_16_bit_colours_in_separate_planes_keep_every_bit(tmp_path, big):
    path = write_tiff(tmp_path / "planes.tif", COLOURS, big=big, planes=True)
    np.testing.assert_array_equal(read_image(path, DataConfig(white=4095)), scaled(COLOURS, 4095))
    turned = write_tiff(tmp_path / "t.tif", COLOURS, big=big, planes=True, exif_turn=6)
    np.testing.assert_array_equal(read_image(turned), np.rot90(COLOURS, -1) // 257)


def test_what_would_be_decoded_wrongly_is_refused(tmp_path):
    path = write_png(tmp_path / "la.png", COLOURS[..., :2], 4)
    assert read_image(path).shape == (10, 12, 3)
    picture, problems = inspect_image(path)
    assert picture is not None and picture.dtype == "uint8" and not problems
    with pytest.raises(DataError, match=r"la.png cannot be decoded \(it has 16-bit greys with transparency"):
        read_image(path, DataConfig(white=4095))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_greys_are_scaled_by_the_white(tmp_path, dtype):
    grey = COLOURS[..., 0].astype(dtype)
    Image.fromarray(grey).save(tmp_path / "g.tif")
    for white in (4095, 1000.5):
        np.testing.assert_array_equal(
            np.asarray(read_image(tmp_path / "g.tif", DataConfig(white=white)))[..., 1], scaled(grey, white)
        )
    Image.fromarray(COLOURS.astype(np.uint8)).save(tmp_path / "8.png")
    eight = tmp_path / "8.png"
    np.testing.assert_array_equal(read_image(eight, DataConfig(white=4095)), read_image(eight))


def test_greys_of_a_big_endian_tiff_are_read_like_others(tmp_path):
    grey = COLOURS[..., 0] * 16
    Image.frombytes("I;16B", (12, 10), grey.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    assert values_of(tmp_path / "big.tif").dtype == np.uint16
    np.testing.assert_array_equal(values_of(tmp_path / "big.tif"), grey)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "big.tif"))[..., 0], grey // 257)
    np.testing.assert_array_equal(
        np.asarray(read_image(tmp_path / "big.tif", DataConfig(white=40000)))[..., 0], scaled(grey, 40000)
    )


def test_floats_and_32_bit_integers_need_a_white(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f.tif .*32-bit floats up to 0.5, .* unknown: set data.white, or save"):
        read_image(tmp_path / "f.tif")
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "n.tif")
    with pytest.raises(DataError, match=r"n.tif .*not finite"):
        read_image(tmp_path / "n.tif", DataConfig(white=1))
    np.testing.assert_array_equal(to_8_bits(np.array([-1.0, 0.0, 0.25, 1.0, 9.0]), 1), [0, 0, 64, 255, 255])


def test_the_dataset_reads_with_the_white_of_its_config(tmp_path):
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        Image.fromarray(COLOURS[..., 0]).save(tmp_path / "images" / label / "1.tif")
    manifest = load_manifest(tmp_path)
    config = DataConfig(size="16x16", fit="crop", white=4095, mean=(0, 0, 0), std=(1, 1, 1))
    image_CHW = LeafDataset(manifest.samples, manifest.classes, config, train=False)[0].image_CHW
    np.testing.assert_allclose(image_CHW[0, :10, :12] * 255, scaled(COLOURS[..., 0], 4095), atol=1e-4)


def test_cmyk_is_converted_and_alpha_dropped(tmp_path):
    """CMYK without a colour profile: each colour is the product of what its ink and black leave."""
    inks = np.random.default_rng(2).integers(0, 256, (10, 12, 4), dtype=np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / "c.tif")
    wanted = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    np.testing.assert_allclose(np.asarray(read_image(tmp_path / "c.tif")), wanted, atol=1.01)
    Image.fromarray(inks, "RGBA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png")), inks[..., :3])
