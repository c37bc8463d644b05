"""Small generated data sets."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layout_helpers import CUB, SIZE, square_mask, write_birds, write_lines
from PIL import Image

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes a small image (new noise, or given pixels) under tmp_path."""
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
    """Write three classes of six images each, all with masks."""
    for label in ("ash", "elm", "oak"):
        for number in range(6):
            save(f"images/{label}/{number}.png")
            mask = np.zeros((10, 12), np.uint8)
            mask[number : number + 3, 2:5] = 255
            save(f"masks/{label}/{number}.png", mask)
    return tmp_path


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return a function that finds a real data set, or skips the test without one."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    base = Path(os.environ.get("VENATION_REAL_DATA", default))

    def find(name: str) -> Path:
        if not (base / name).is_dir():
            pytest.skip(f"no data set {name} here: set VENATION_REAL_DATA to the folder that holds it")
        return base / name

    return find


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return the folder to import to."""
    return tmp_path / "made" / "set"


@pytest.fixture
def soy(tmp_path, save) -> Path:
    """Write 12 classes (so names are padded), each 4 in train, 2 in test; 007.png has key 7."""
    labels = {}
    for number in range(72):
        split, name = ("train" if number % 6 < 4 else "test"), f"{number:03d}.png"
        save(f"soy/{split}/{name}", size=SIZE)
        save(f"soy/l2_mask/{name}", square_mask(number % 12))
        labels[number] = number // 6 + 1
    (tmp_path / "soy" / "labels.pkl").write_bytes(pickle.dumps(labels))
    return tmp_path / "soy"


@pytest.fixture
def cub(tmp_path, save) -> Path:
    """Write 3 classes of 4 images.

    Masks are 51 and 102 (one and two annotators of five) at the rim, 153 and 255 inside.
    """
    names, labels = {}, {}
    for number in range(12):
        key, folder = str(number + 1), CUB[number // 4]
        name = f"{folder}/Bird_{number:04d}.jpg"
        save(f"cub/images/{name}", size=SIZE)
        soft = square_mask(5, 51)
        soft[5, 3:9] = 102
        soft[6:9, 4:8] = 153
        soft[7, 5:7] = 255
        save(f"cub/segmentations/{name[:-4]}.png", soft)
        names[key], labels[key] = name, str(number // 4 + 1)
    write_birds(tmp_path / "cub", names, labels, "10.0 4.0 10.0 8.0")
    write_lines(tmp_path / "cub" / "classes.txt", [f"{number + 1} {name}" for number, name in enumerate(CUB)])
    return tmp_path / "cub"
