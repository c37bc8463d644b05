"""Images and masks of every format that is read."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import tifffile
from hypothesis import strategies as st
from PIL import Image

from venation.data.channels import find_channels
from venation.data.data_config import DataConfig
from venation.data.images import read_image, read_mask
from venation.data.inspection import inspect_class_mask, inspect_image
from venation.data.manifest import Manifest
from venation.data.mask_classes import MaskClasses
from venation.data.samples import Sample
from venation.errors import DataError

from .attempt import Kind
from .mutations import mutated

WIDTH, HEIGHT = 24, 16


def _saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _array(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def images() -> list[bytes]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    deep = rng.integers(0, 2**16, (HEIGHT, WIDTH), dtype=np.uint16)
    exif = Image.Exif()
    exif[274] = 6
    found = [_saved(rgb, kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP")]
    found += [_saved(rgb, "JPEG", exif=exif, progressive=True), _saved(rgb, "TIFF", compression="tiff_lzw")]
    found += [_saved(np.dstack([rgb, rgb[..., 0]]), "PNG"), _saved(rgb, "WEBP", lossless=True)]
    found += [_saved(deep, "PNG"), _saved(deep, "TIFF"), _tiff(deep.astype(np.float32))]
    bands = np.dstack([rgb, rgb])[..., :5]
    found += [_tiff(bands, photometric="minisblack"), _tiff(bands.astype(np.uint16), compression="zlib")]
    found += [_tiff(np.moveaxis(bands, 2, 0), photometric="minisblack", planarconfig="separate")]
    return [*found, _array(bands), _array(deep), _array(rgb[..., 0] / np.float32(255))]


def masks() -> list[bytes]:
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    grey[2:6, 3:9], grey[8:12, 3:9] = 1, 2
    palette = Image.fromarray(grey)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    found = []
    for kind in ("PNG", "GIF"):
        file = io.BytesIO()
        palette.save(file, kind)
        found.append(file.getvalue())
    found += [_saved(grey, kind) for kind in ("PNG", "BMP", "TIFF", "WEBP")]
    return [
        *found,
        _saved(grey > 0, "PNG"),
        _saved(np.dstack([grey] * 3), "PNG"),
        _saved(grey.astype(np.uint16), "PNG"),
    ]


def read_picture(content: bytes, folder: Path) -> None:
    path = folder / "leaf.png"
    path.write_bytes(content)
    (channels,) = {find_channels(Manifest(folder, (Sample(path, "a", None, "g", None),), ("a",)))}
    inspect_image(path)
    pixels = read_image(path, DataConfig(channels=channels, white=1000))
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == channels
    with suppress(DataError):  # the white of floats is not known
        read_image(path, DataConfig(channels=channels))


def read_masks(content: bytes, folder: Path) -> None:
    path = folder / "mask.png"
    path.write_bytes(content)
    read_mask(path, None)
    inspect_class_mask(path, None, None)
    with suppress(DataError):  # colours that are not those of the classes
        read_mask(path, (WIDTH, HEIGHT), MaskClasses.of(("vein", "lesion")))


def _plain(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    return mutated(seeds)


KINDS = (
    Kind("image", images, _plain, read_picture, share=24, few=60),
    Kind("mask", masks, _plain, read_masks, share=9, few=30),
)
