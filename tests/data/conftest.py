"""Tiny data sets, drawn on the spot."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a small image (noise of its own, or the given pixels) under tmp_path and return its path."""
    random = np.random.default_rng(0)

    def write(name: str, pixels: np.ndarray | None = None, *, size: tuple[int, int] = (12, 10), **options) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, **options)
        return path

    return write


@pytest.fixture
def leaves(save: Save, tmp_path: Path) -> Path:
    """Three classes of six images each, all with masks."""
    for label in ("ash", "elm", "oak"):
        for number in range(6):
            save(f"images/{label}/{number}.png")
            mask = np.zeros((10, 12), np.uint8)
            mask[number : number + 3, 2:5] = 255
            save(f"masks/{label}/{number}.png", mask)
    return tmp_path


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Where a real data set lies; skips where it does not."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    base = Path(os.environ.get("VENATION_REAL_DATA", default))

    def find(name: str) -> Path:
        if not (base / name).is_dir():
            pytest.skip(f"no data set {name} here: set VENATION_REAL_DATA to the folder that holds it")
        return base / name

    return find
