"""Copies that are not equal byte for byte, across labels, splits and groups."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venation.data.check import check_data


def texture(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((96, 96), Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write two classes of six images, each its own."""
    for place in range(12):
        folder = tmp_path / "ab"[place // 6]
        folder.mkdir(exist_ok=True)
        texture(place).save(folder / f"{place % 6}.png")
    return tmp_path


def save_again(root: Path, name: str, copy: str) -> None:
    (root / copy).parent.mkdir(parents=True, exist_ok=True)
    Image.open(root / name).save(root / copy, quality=80)


def found(root: Path) -> dict[str, str]:
    return {row.path: row.message for row in check_data(root) if row.code == "near-duplicate"}


def test_a_copy_under_another_label_is_a_warning(root: Path) -> None:
    assert check_data(root) == []
    save_again(root, "a/0.png", "b/copy.jpg")
    (finding,) = check_data(root)
    assert (finding.level, finding.code, finding.path) == ("warning", "near-duplicate", "b/copy.jpg")
    assert finding.message == "looks the same as a/0.png, labelled b and a: look at both, and keep the right one"


def test_a_copy_in_the_same_class_is_a_warning_unless_both_are_one_group(root: Path) -> None:
    save_again(root, "a/1.png", "a/copy.jpg")
    assert found(root) == {"a/copy.jpg": "looks the same as a/1.png: delete one, or give both one group"}
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
    lines = [f"{name},{name[0]},{'one' if name in ('a/1.png', 'a/copy.jpg') else ''}" for name in names]
    (root / "manifest.csv").write_text("\n".join(["image,label,group", *lines]))
    assert found(root) == {}


def test_another_split_matters_more_than_another_label(root: Path) -> None:
    lines = ["image,label,split"]
    lines += [f"{label}/{n}.png,{label},{'train' if n < 4 else 'test'}" for label in "ab" for n in range(6)]
    save_again(root, "a/0.png", "b/first.jpg")
    save_again(root, "a/0.png", "a/second.jpg")
    lines += ["b/first.jpg,b,train", "a/second.jpg,a,test"]
    (root / "manifest.csv").write_text("\n".join(lines))
    assert found(root) == {
        "b/first.jpg": "looks the same as a/0.png, labelled b and a: look at both, and keep the right one",
        "a/second.jpg": "looks the same as a/0.png, in test and train: keep both in one split",
    }


def test_a_copy_of_equal_pixels_is_reported_once(root: Path) -> None:
    Image.open(root / "a/0.png").save(root / "b/same.bmp")
    assert [(row.code, row.path) for row in check_data(root)] == [("label-duplicate", "b/same.bmp")]
