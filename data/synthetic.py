"""Generate synthetic leaves: images of grown venation and exact vein masks, reproducible by seed.

Only the geometry of the veins depends on the cultivar; colour, light, blotches and pose do not.
"""

import os
import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ..errors import DataError, UsageError
from .space_colonization import Points
from .venation_model import Leaf, Traits, grow_leaf

Picture = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]

MIN_SIZE = 32
MIDRIB_WIDTH = 4.2 / 128
MIN_VEIN = 1.3
MARGIN = 0.03


def _pose(points: Points, outline: Points, rng: np.random.Generator, size: int) -> list[Points]:
    """Bend the leaf along its midrib, rotate it and fit it into the square; return pixels."""
    bend = rng.uniform(-0.2, 0.2) + 1e-6
    turn = np.radians(rng.uniform(-12.0, 12.0) - 90.0)
    placed = []
    for x, y in (points.T, outline.T):
        phi = bend * (x - 0.5)
        bent = np.stack([np.sin(phi) / bend - y * np.sin(phi), (1 - np.cos(phi)) / bend + y * np.cos(phi)], axis=1)
        placed.append(bent @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]))
    low, high = placed[1].min(axis=0), placed[1].max(axis=0)
    scale = rng.uniform(0.93, 1.0) * (1 - 2 * MARGIN) / float((high - low).max())
    room = 1 - 2 * MARGIN - scale * (high - low)
    corner = MARGIN + room * rng.uniform(0.25, 0.75, 2)
    return [size * (corner + scale * (p - low)) for p in placed]


def _draw(leaf: Leaf, rng: np.random.Generator, size: int) -> tuple[Plane, Plane]:
    """Return the coverage (size, size) in 0..1 of blade with stalk, and of veins, antialiased."""
    fine = 2 if size >= 192 else 4
    points, outline = _pose(leaf.points, leaf.outline, rng, size * fine)
    unit = MIDRIB_WIDTH * size * fine
    blade, veins = (Image.new("L", (size * fine, size * fine)) for _ in range(2))
    pen = ImageDraw.Draw(blade)
    pen.polygon([tuple(p) for p in outline.tolist()], fill=255)
    base = points[0]
    stalk = base + (points[0] - points[4]) * 4
    pen.line([tuple(base.tolist()), tuple(stalk.tolist())], fill=255, width=round(1.2 * unit))
    pen = ImageDraw.Draw(veins)
    ends = points[leaf.edges].reshape(-1, 4).tolist()
    for line, width in zip(ends, np.maximum(leaf.widths * unit, MIN_VEIN * fine).tolist(), strict=True):
        pen.line(line, fill=255, width=round(width))
        radius, (x, y) = 0.5 * width - 0.5, line[2:]
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    scale = np.float32(1 / 255)
    return np.asarray(blade.reduce(fine), np.float32) * scale, np.asarray(veins.reduce(fine), np.float32) * scale


def _smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Plane:
    """Return smooth noise (size, size) of about unit deviation, with ``cells`` blotches a side."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _paint(blade: Plane, veins: Plane, rng: np.random.Generator) -> Picture:
    """Paint the image (size, size, 3): colour, light, blotches, noise, for any cultivar."""
    size = len(blade)
    leaf_rgb = np.array([rng.uniform(72, 100), rng.uniform(112, 136), rng.uniform(46, 66)], np.float32)
    ground_rgb = (rng.uniform(200, 226) + rng.uniform(-7, 7, 3)).astype(np.float32)
    vein_rgb = leaf_rgb + np.float32(rng.uniform(50, 62)) * np.array([1.0, 0.9, 0.7], np.float32)
    shade = 1 + 0.03 * _smooth_noise(rng, size, 5) + 0.015 * _smooth_noise(rng, size, 17)
    ground = 1 + 0.02 * _smooth_noise(rng, size, 6)
    x, y = np.meshgrid(*[np.linspace(-0.5, 0.5, size, dtype=np.float32)] * 2, sparse=True)
    slope, way = rng.uniform(0.0, 0.15), rng.uniform(0, 2 * np.pi)
    light = rng.uniform(0.95, 1.05) * (1 + slope * (x * np.cos(way) + y * np.sin(way)))
    # Mix three colours by their shares per pixel: cheaper than mixing whole RGB images.
    shares = np.stack([blade * (1 - veins) * shade, blade * veins, (1 - blade) * ground], axis=2) * light[..., None]
    picture = shares.astype(np.float32) @ np.stack([leaf_rgb, vein_rgb, ground_rgb])
    picture += rng.standard_normal((size, size, 3), dtype=np.float32) * np.float32(rng.uniform(2.0, 4.0))
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)


def draw_leaf(cultivar: int, seed: int, *, size: int) -> tuple[Picture, Picture]:
    """Draw one leaf: image (size, size, 3) and vein mask (size, size) of 0 and 255, both uint8.

    The same arguments give the same arrays. Raises UsageError for a size below 32, a negative
    cultivar or seed.
    """
    if size < MIN_SIZE:
        raise UsageError(f"size is {size}, but a leaf needs at least {MIN_SIZE} pixels per side: ask for a larger size")
    if cultivar < 0 or seed < 0:
        raise UsageError(f"cultivar is {cultivar} and seed is {seed}, but neither may be negative: give 0 or more")
    rng = np.random.default_rng([seed, cultivar])
    blade, veins = _draw(grow_leaf(Traits.of(cultivar), rng), rng, size)
    return _paint(blade, veins, rng), np.where(veins >= 0.5, 255, 0).astype(np.uint8)


def _write_all(root: Path, *, classes: int, images: int, size: int, seed: int) -> None:
    """Draw every leaf into the existing folder ``root``."""
    for cultivar in range(classes):
        name = f"cultivar_{cultivar:02d}"
        folders = root / "images" / name, root / "masks" / name
        for folder in folders:
            folder.mkdir(parents=True)
        for number in range(images):
            leaf_seed = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
            for folder, drawn in zip(folders, draw_leaf(cultivar, leaf_seed, size=size), strict=True):
                Image.fromarray(drawn).save(folder / f"leaf_{number:03d}.png", compress_level=1)


def write_leaves(root: Path, *, classes: int, images: int, size: int, seed: int) -> None:
    """Write a data set of leaves in the folders ``images/<class>/`` and ``masks/<class>/``.

    There are ``images`` leaves of each of ``classes`` cultivars, as PNG files. The folder is
    written under a temporary name and then renamed: it is complete or absent. Raises DataError if
    ``root`` exists and is not an empty folder, and UsageError for fewer than 2 classes, fewer than
    1 image, a size below 32 or a negative seed.
    """
    if classes < 2:
        raise UsageError(f"classes is {classes}, but a data set needs at least 2: ask for more")
    if images < 1:
        raise UsageError(f"images is {images}, but a class needs at least 1: ask for more")
    if size < MIN_SIZE:
        raise UsageError(f"size is {size}, but images need at least {MIN_SIZE} pixels a side: ask for more")
    if seed < 0:
        raise UsageError(f"seed is {seed}, but it must be 0 or more: choose another")
    root = root.resolve()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} exists and is not an empty folder: name a new folder")
    staging = root.parent / f".{root.name}.{uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        _write_all(staging, classes=classes, images=images, size=size, seed=seed)
        os.replace(staging, root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
