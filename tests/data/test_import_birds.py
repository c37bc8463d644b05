"""CUB-200-2011 and NABirds: classes, splits, masks, groups and crops."""

import json
from pathlib import Path

import numpy as np
import pytest
from layout_helpers import (
    CUB,
    SIZE,
    assert_refused,
    count_splits_and_labels,
    read_pixels,
    samples_by_key,
    square_mask,
    write_birds,
    write_lines,
)
from PIL import Image

from venation.data.check import check_data
from venation.data.images import read_mask
from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits


def test_cub(cub, out, save):
    save(f"cub/segmentations/{CUB[2]}/Bird_0011.png", square_mask(0, 0))
    import_data("cub", cub, out)
    manifest = load_manifest(out)
    assert manifest.classes == CUB
    assert count_splits_and_labels(out) == {
        (split, name): n for name in CUB for split, n in (("test", 1), ("train", 3))
    }
    sample = samples_by_key(out)[f"images/{CUB[1]}/Bird_0005.jpg"]
    assert (
        sample.split == "train" and sample.image.read_bytes() == (cub / f"images/{CUB[1]}/Bird_0005.jpg").read_bytes()
    )
    expected = np.zeros((24, 32), np.uint8)
    expected[6:9, 4:8] = 1
    assert np.array_equal(read_mask(sample.mask, SIZE), expected)
    assert set(np.unique(read_pixels(sample.mask))) == {0, 255}
    assert not read_pixels(samples_by_key(out)[f"images/{CUB[2]}/Bird_0011.jpg"].mask).any()
    assert json.loads((out / "groups.json").read_text()) == {
        CUB[0]: "Albatross",
        CUB[1]: "Albatross",
        CUB[2]: "Cardinal",
    }
    assert [finding for finding in check_data(out) if finding.level == "error"] == []
    divided = assign_splits(manifest, seed=1)
    assert len(divided.split("test")) == 3 and {sample.label for sample in divided.split("val")} == set(CUB)


def test_cub_without_segmentations_or_boxes(cub, out):
    (cub / "segmentations").rename(cub / "elsewhere")
    (cub / "bounding_boxes.txt").unlink()
    import_data("cub", cub, out)
    assert not load_manifest(out).has_masks
    (cub / "segmentations").mkdir()
    assert_refused(cub, "cub", "extract the segmentations again")
    assert_refused(cub, "cub", "no bounding_boxes.txt", crop_boxes=True)


def test_cub_crops(cub, out, save):
    # A lossless picture shows that image and mask are cut at the same pixels.
    picture = read_pixels(save(f"cub/images/{CUB[0]}/Bird_0000.png", size=SIZE))
    text = (cub / "images.txt").read_text().replace("Bird_0000.jpg", "Bird_0000.png")
    (cub / "images.txt").write_text(text)
    boxes = (cub / "bounding_boxes.txt").read_text().replace("1 10.0 4.0 10.0 8.0\n", "1 3.0 5.5 6.0 5.0\n", 1)
    (cub / "bounding_boxes.txt").write_text(boxes)
    import_data("cub", cub, out, crop_boxes=True, margin=0.2)
    sample = samples_by_key(out)[f"images/{CUB[0]}/Bird_0000.png"]
    # left 3 - 1.2 -> 1, right 9 + 1.2 -> 11, top 5.5 - 1 -> 4, bottom 10.5 + 1 -> 12
    assert np.array_equal(read_pixels(sample.image), picture[4:12, 1:11])
    expected = np.zeros((24, 32), np.uint8)
    expected[6:9, 4:8] = 1
    assert np.array_equal(read_mask(sample.mask, (10, 8)), expected[4:12, 1:11])
    with Image.open(samples_by_key(out)[f"images/{CUB[0]}/Bird_0001.jpg"].image) as jpeg:
        assert jpeg.format == "JPEG" and jpeg.size == (14, 12)


def test_malformed_cub_sets_are_refused(cub, save):
    def change(name: str, old: str, new: str, match: str, **choices) -> None:
        path = cub / name
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new, 1))
        assert_refused(cub, "cub", match, **choices)
        path.write_text(before)

    for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"):
        (cub / name).rename(cub / "away")
        assert_refused(cub, "cub", f"no {name}, which the cub layout needs")
        (cub / "away").rename(cub / name)
    change("train_test_split.txt", "3 1\n", "3 2\n", "neither 1 .train. nor 0 .test. for 3")
    change("train_test_split.txt", "3 1\n", "", "images.txt has 3, of which train_test_split.txt has nothing")
    change("image_class_labels.txt", "5 2\n", "5 2\n5 3\n", "lists 5 twice")
    change("image_class_labels.txt", "5 2\n", "5\n", "line '5', which is not two fields")
    change("classes.txt", "3 017.Cardinal", "4 017.Cardinal", "no name for class 3")
    change("images.txt", "Bird_0002.jpg", "Bird_9999.jpg", "no file .*Bird_9999.jpg, though the lists name it")
    for name in ("../../secret.jpg", "/etc/secret.jpg", "C:\\\\secret.jpg"):
        change("images.txt", f"{CUB[0]}/Bird_0002.jpg", name.replace("\\\\", "\\"), "outside the images")
    for box in ("1 2 3", "a b c d", "nan 1 2 3", "1 1 0 4"):
        change("bounding_boxes.txt", "10.0 4.0 10.0 8.0", box, "for image 1: give left", crop_boxes=True)
    change("bounding_boxes.txt", "10.0 4.0", "90.0 4.0", "outside its 32x24 pixels", crop_boxes=True)
    (cub / "classes.txt").write_bytes(b"1 \xff\xfe\n")
    assert_refused(cub, "cub", "classes.txt is not UTF-8")


def test_cub_mask_of_another_size_or_damaged(cub, save):
    mask = save(f"cub/segmentations/{CUB[2]}/Bird_0011.png", square_mask(3)[:10])
    assert_refused(cub, "cub", "is 32x10 but its image is 32x24", crop_boxes=True)
    mask.write_bytes(b"broken")
    assert_refused(cub, "cub", "Bird_0011.png cannot be decoded")


@pytest.fixture
def nabirds(tmp_path, save) -> Path:
    """Write 4 leaf classes, two of them with one name and two parents; class 99 has no images."""
    names, labels = {}, {}
    for number in range(16):
        leaf = (817, 818, 901, 902)[number // 4]
        key = f"0000139e-21dc-4d0c-bfe1-{number:012d}"
        names[key], labels[key] = f"{leaf:04d}/{key.replace('-', '')}.jpg", str(leaf)
        save(f"nabirds/images/{names[key]}", size=SIZE)
    root = tmp_path / "nabirds"
    write_birds(root, names, labels, "8 4 16 10")
    write_lines(
        root / "classes.txt",
        [
            "0 Birds",
            "22 Ducks, Geese, and Swans",
            "23 Loons",
            "99 Unseen",
            "817 Common Eider (Adult male)",
            "818 Common Eider (Female, juvenile)",
            "901 Diver",
            "902 Diver",
        ],
    )
    write_lines(root / "hierarchy.txt", ["817 22", "818 22", "901 23", "902 0", "99 0", "22 0", "23 0"])
    return root


def test_nabirds(nabirds, out):
    import_data("nabirds", nabirds, out)
    manifest = load_manifest(out)
    eiders = "Common Eider (Adult male)", "Common Eider (Female, juvenile)"
    assert manifest.classes == (*eiders, "Diver (901)", "Diver (902)")
    assert set(count_splits_and_labels(out).values()) == {1, 3} and not manifest.has_masks
    key = "0000139e-21dc-4d0c-bfe1-000000000004"
    sample = samples_by_key(out)[f"images/0818/{key.replace('-', '')}.jpg"]
    assert (sample.label, sample.split) == (eiders[1], "test")
    groups = {eiders[0]: "Ducks, Geese, and Swans", eiders[1]: "Ducks, Geese, and Swans"}
    assert json.loads((out / "groups.json").read_text()) == groups | {"Diver (901)": "Loons", "Diver (902)": "Birds"}
    assert assign_splits(manifest, seed=0).split("val")


def test_nabirds_crops_and_classes_without_a_parent(nabirds, out):
    import_data("nabirds", nabirds, out, crop_boxes=True, margin=0.0)
    assert {read_pixels(sample.image).shape for sample in load_manifest(out).samples} == {(10, 16, 3)}
    path = nabirds / "hierarchy.txt"
    path.write_text(path.read_text().replace("818 22\n", ""))
    assert_refused(nabirds, "nabirds", "gives class 818 no parent")
    path.unlink()
    assert_refused(nabirds, "nabirds", "no hierarchy.txt")
