"""Helpers for tests of data sets in foreign layouts."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.errors import DataError

SIZE = (32, 24)
CUB = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "017.Cardinal")


def write_lines(path: Path, rows) -> None:
    """Write each row as a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def square_mask(number: int, value: int = 1) -> np.ndarray:
    """Return a mask with a rectangle of ``value`` at row ``number``."""
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[number : number + 5, 3:9] = value
    return mask


def read_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def samples_by_key(out: Path) -> dict:
    """Return the samples of an imported data set by key."""
    manifest = load_manifest(out)
    return {manifest.key(sample): sample for sample in manifest.samples}


def count_splits_and_labels(out: Path) -> Counter:
    """Return the number of samples by split and label."""
    return Counter((sample.split, sample.label) for sample in load_manifest(out).samples)


def assert_refused(source: Path, layout: str, match: str, **choices) -> None:
    """Assert that the import fails with a one-line message and leaves no files."""
    out = source.parent / "refused"
    with pytest.raises(DataError, match=match) as caught:
        import_data(layout, source, out, **choices)
    assert "\n" not in str(caught.value)
    assert not out.exists() and not [path for path in source.parent.iterdir() if path.name.startswith(".")]


def put_labels(soy: Path, value) -> None:
    """Replace the labels of an MGANet data set."""
    (soy / "labels.pkl").write_bytes(pickle.dumps(value))


def write_birds(root: Path, names: dict[str, str], labels: dict[str, str], boxes: str) -> None:
    """Write the lists that CUB-200-2011 and NABirds share; every fourth image is for testing."""
    write_lines(root / "images.txt", [f"{key} {name}" for key, name in names.items()])
    write_lines(root / "image_class_labels.txt", [f"{key} {label}" for key, label in labels.items()])
    write_lines(root / "train_test_split.txt", [f"{key} {int(number % 4 > 0)}" for number, key in enumerate(names)])
    write_lines(root / "bounding_boxes.txt", [f"{key} {boxes}" for key in names])
