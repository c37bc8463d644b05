"""Arrays and TIFFs of many channels: exact values in every layout, and files that are refused."""

import struct
import warnings
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from venation.data.band_files import channel_choices, read_bands
from venation.data.data_config import DataConfig
from venation.data.images import read_image
from venation.data.inspection import inspect_image
from venation.errors import DataError

FIVE = DataConfig(channels=5)
BANDS = np.random.default_rng(0).integers(0, 65536, (11, 13, 5), dtype=np.uint16)


def write(path, pixels, *, planes=False, **options):
    """Write H x W x C as the first page of a TIFF whose further channels are no transparency."""
    layout = {"planarconfig": "separate" if planes else "contig", "photometric": "minisblack"} | options
    tifffile.imwrite(path, pixels.transpose(2, 0, 1) if planes else pixels, **layout)
    return path


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4, 5, 16])
def test_every_layout_keeps_every_value(tmp_path, planes, options, dtype, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (11, 13, channels)).astype(dtype)
    if dtype == np.float32:
        options = options | {"predictor": False}  # that of floats needs another package
    for order in "<>":
        path = write(tmp_path / "i.tif", pixels, planes=planes, byteorder=order, **options)
        bands = read_bands(path)
        np.testing.assert_array_equal(bands.values, pixels)
        assert not bands.transparent and channel_choices(path) == (channels,)
    view = DataConfig(channels=channels, white=0 if dtype == np.uint8 else 255)
    np.testing.assert_array_equal(read_image(path, view), pixels.astype(np.uint8))
    np.save(tmp_path / "i.npy", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "i.npy", view), pixels.astype(np.uint8))
    np.save(tmp_path / "turned.npy", np.asfortranarray(pixels))
    np.testing.assert_array_equal(read_image(tmp_path / "turned.npy", view), pixels.astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_are_turned_upright_as_pillow_turns(tmp_path, orientation):
    path = write(tmp_path / "i.tif", BANDS, extratags=[(274, 3, 1, orientation, True)])
    grey = Image.fromarray(BANDS[..., 2])
    grey.getexif()[274] = orientation
    np.testing.assert_array_equal(read_bands(path).values[..., 2], ImageOps.exif_transpose(grey))
    assert inspect_image(path)[0].orientation == orientation


def test_a_white_scales_all_bands(tmp_path):
    path = write(tmp_path / "i.tif", BANDS)
    np.testing.assert_array_equal(read_image(path, FIVE), BANDS // 257)
    wanted = np.rint(np.minimum(BANDS / 30000, 1) * 255)
    np.testing.assert_array_equal(read_image(path, DataConfig(channels=5, white=30000)), wanted)
    np.save(tmp_path / "b.npy", BANDS > 9)
    np.testing.assert_array_equal(read_image(tmp_path / "b.npy", FIVE), (BANDS > 9) * 255)
    np.save(tmp_path / "g.npy", BANDS[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "g.npy")[..., 2], BANDS[..., 0] // 257)


def test_declared_transparency_is_dropped_unless_it_makes_up_the_number(tmp_path):
    pixels = (BANDS[..., :4] >> 8).astype(np.uint8)
    plain = write(tmp_path / "plain.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    alpha = write(tmp_path / "alpha.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    assert (channel_choices(plain), channel_choices(alpha)) == ((4,), (3, 4))
    four = DataConfig(channels=4)
    for path in (plain, alpha):
        np.testing.assert_array_equal(read_image(path, four), pixels)
    np.testing.assert_array_equal(read_image(alpha), pixels[..., :3])
    with pytest.raises(DataError, match=r"plain.tif cannot be decoded \(it has 4 channels, and 3 are needed\)"):
        read_image(plain)
    deep = write(tmp_path / "deep.tif", BANDS, extrasamples=["unspecified"] * 3 + ["unassalpha"])
    assert channel_choices(deep) == (4, 5)
    np.testing.assert_array_equal(read_image(deep, four), BANDS[..., :4] // 257)


def test_grey_with_transparency_of_16_bits_is_grey(tmp_path):
    path = write(tmp_path / "la.tif", BANDS[..., :2], extrasamples=["unassalpha"])
    assert channel_choices(path) == (3, 2)
    np.testing.assert_array_equal(read_image(path), np.repeat(BANDS[..., :1] // 257, 3, axis=2))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("planes", [False, True])
def test_a_truncated_file_never_passes_for_a_whole_image(tmp_path, options, planes):
    pixels = np.random.default_rng(2).integers(1, 256, (40, 20, 4), dtype=np.uint8)
    whole = write(tmp_path / "i.tif", pixels, planes=planes, rowsperstrip=8, **options).read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut.tif").write_bytes(whole[:length])
        try:
            found = read_image(tmp_path / "cut.tif", DataConfig(channels=4))
        except DataError as error:
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(found, pixels)


def test_no_damaged_byte_raises_another_error(tmp_path):
    whole = write(tmp_path / "i.tif", BANDS, compression="zlib").read_bytes()
    random = np.random.default_rng(3)
    warnings.simplefilter("ignore")  # Pillow's, of damaged tags
    for _ in range(200):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] = random.integers(256)
        (tmp_path / "i.tif").write_bytes(damaged)
        inspect_image(tmp_path / "i.tif")
        try:
            read_image(tmp_path / "i.tif", FIVE)
        except DataError as error:
            assert "\n" not in str(error)


def _header(shape, dtype="<u2"):
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.zeros((4, 4, 65)), "its shape is 4 x 4 x 65: give H x W, or H x W x C with 1 to 64 channels, C last"),
        (np.zeros((2, 4, 4, 3)), "its shape is 2 x 4 x 4 x 3: give H x W"),
        (np.zeros(9), "its shape is 9: give H x W"),
        (np.zeros((4, 4, 5), complex), "its values are of type complex128: give 8 or 16 bits, integers or floats"),
        (np.full((4, 4, 5), 0.5), "its values are 64-bit floats up to 0.5, and which of them is white is unknown"),
        (_header((4, 4, 5)), "mmap length is greater than file size"),
        (
            _header((10**9, 10**9, 5)),
            "it claims 1000000000 x 1000000000 pixels of 5 channels of 2 bytes",
        ),
        (b"\x93NUMPY\x01", "EOF"),
    ],
    ids=str,
)
def test_an_array_that_is_no_image_is_refused(tmp_path, content, reason):
    path = tmp_path / "i.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(DataError) as caught:
        read_image(path, FIVE)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_pickled_objects_are_not_read(tmp_path):
    np.save(tmp_path / "o.npy", np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"o.npy cannot be decoded \(its values are of type object: .*\): replace"):
        read_image(tmp_path / "o.npy")
    with zipfile.ZipFile(tmp_path / "z.npy", "w") as archive:
        archive.writestr("a.npy", _header((1, 1)) + b"\0\0")
    with pytest.raises(DataError, match=r"z.npy cannot be decoded \(not recognised as one of"):
        read_image(tmp_path / "z.npy")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_floats_that_are_not_finite_are_refused(tmp_path, bad):
    pixels = np.ones((4, 4, 5), np.float32)
    pixels[2, 3, 4] = bad
    path = write(tmp_path / "f.tif", pixels)
    with pytest.raises(DataError, match=r"f.tif cannot be decoded \(it has values that are not finite"):
        read_image(path, DataConfig(channels=5, white=1))
    picture, problems = inspect_image(path)
    assert picture is None and [code for _, code, _ in problems] == ["not-finite"]


def test_a_huge_claim_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """The bound is that of other images: four bytes for each of twice Pillow's limit of pixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = write(tmp_path / "i.tif", BANDS[:10, :10].copy())
    with pytest.raises(DataError, match=r"it claims 10 x 10 pixels of 5 channels of 2 bytes, more than 0 MB: scale"):
        read_image(path, FIVE)
    np.save(tmp_path / "i.npy", BANDS[:10, :8])
    assert read_image(tmp_path / "i.npy", FIVE).shape == (10, 8, 5)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(path, FIVE).shape == (10, 10, 5)
    claimed = bytearray(path.read_bytes())
    place = claimed.index(struct.pack("<HHII", 256, 4, 1, 10)) + 8
    claimed[place : place + 4] = struct.pack("<I", 2**31)
    path.write_bytes(claimed)
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(path, FIVE)


def test_a_compression_that_needs_another_package_says_so(tmp_path):
    path = write(tmp_path / "i.tif", BANDS)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<HHIH", 259, 3, 1, 1), struct.pack("<HHIH", 259, 3, 1, 5)))
    with pytest.raises(DataError, match=r"i.tif cannot be decoded \(.*LZW.*requires the 'imagecodecs' package"):
        read_image(path, FIVE)
