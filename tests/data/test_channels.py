"""The number of channels of a data set: found, asked for, and the image that has another."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from venation.data.channels import common_channels, find_channels, note_unread_channel
from venation.data.check import check_data
from venation.data.manifest import load_manifest
from venation.errors import DataError

SHAPE = (20, 24)


def write(folder, name, channels, extra="unspecified"):
    """Write an image of random values of its own into a class folder."""
    path = folder / "images" / ("a" if name < "d" else "b") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, name))
    pixels = np.random.default_rng(seed).integers(0, 256, (*SHAPE, channels), dtype=np.uint8)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        options = {"extrasamples": [extra] * (channels - 3), "photometric": "rgb", "planarconfig": "contig"}
        tifffile.imwrite(path, pixels, **options)


def write_set(folder, **names):
    for name, channels in names.items():
        write(folder, name.replace("_", "."), channels)
    return load_manifest(folder)


def test_the_number_of_a_set_is_found(tmp_path):
    manifest = write_set(tmp_path, a_tif=5, b_npy=5, c_tif=5, d_npy=5, e_tif=5, f_tif=5)
    assert find_channels(manifest) == 5 == find_channels(manifest, 5)
    assert check_data(tmp_path, min_images=3) == []
    with pytest.raises(DataError, match=r"images/a/a.tif has 5 channels, and data.channels asks for 4"):
        find_channels(manifest, 4)


def test_an_image_with_another_number_is_named(tmp_path):
    manifest = write_set(tmp_path, a_tif=5, b_npy=4, c_tif=5, d_npy=5, e_png=3, f_tif=5)
    with pytest.raises(DataError, match=r"b.npy has 4 channels, and others have 5: all images of a data set have the"):
        find_channels(manifest)
    found = {row.path: row.message for row in check_data(tmp_path) if (row.level, row.code) == ("error", "channels")}
    assert found == {
        f"images/{name}": f"it has {number} channels, and most images have 5: give it that number, or remove it"
        for name, number in (("a/b.npy", 4), ("b/e.png", 3))
    }


def test_transparency_counts_as_a_channel_if_other_images_or_the_user_say_so(tmp_path):
    for name in ("a.tif", "b.tif", "c.tif", "d.tif", "e.tif", "f.tif"):
        write(tmp_path, name, 4, extra="unassalpha")
    assert find_channels(load_manifest(tmp_path)) == 3
    assert find_channels(load_manifest(tmp_path), 4) == 4
    (row,) = check_data(tmp_path, min_images=3)
    assert (row.level, row.code) == ("warning", "transparency")
    assert row.message.startswith("the last of 4 channels of 6 TIFFs is declared as transparency, and is not read: ")
    assert note_unread_channel(load_manifest(tmp_path), 3) == row.message
    assert note_unread_channel(load_manifest(tmp_path), 4) is None
    write(tmp_path, "g.tif", 4)
    assert find_channels(load_manifest(tmp_path)) == 4


def test_greys_and_colours_are_three(tmp_path):
    (tmp_path / "images" / "a").mkdir(parents=True)
    np.save(tmp_path / "images" / "a" / "g.npy", np.zeros(SHAPE, np.uint8))
    manifest = write_set(tmp_path, b_png=3, c_tif=3, d_png=3)
    assert find_channels(manifest) == 3
    assert common_channels([]) == 3


def test_a_damaged_header_is_named(tmp_path):
    manifest = write_set(tmp_path, a_tif=5, d_tif=5)
    (tmp_path / "images" / "b" / "d.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"image .*d.tif cannot be decoded \(.*\): replace or remove it"):
        find_channels(manifest)
