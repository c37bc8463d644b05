"""Mask classes: label, palette and RGB masks give the same arrays; wrong files are one line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from venation.data.check import check_data
from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.fingerprint import digests
from venation.data.images import read_mask
from venation.data.manifest import load_manifest
from venation.data.mask_classes import MASK_CLASSES, MaskClasses, mask_classes_text, read_mask_classes
from venation.errors import DataError

TABLE = "value,name,colour\n1,vein,#ff0000\n2,lesion,#0000ff\n"
INDEX = np.random.default_rng(0).integers(0, 3, (10, 12), dtype=np.uint8)
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], dtype=np.uint8)


def classes_of(tmp_path, table=TABLE):
    (tmp_path / MASK_CLASSES).write_text(table)
    return read_mask_classes(tmp_path)


def palette_mask(order):
    """Return INDEX as a palette image whose palette lists the classes in another order."""
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[INDEX], "P")
    image.putpalette(COLOURS[order].ravel().tolist())
    return image


def write_set(root, masks, table=TABLE):
    if table:
        (root / MASK_CLASSES).write_text(table)
    random = np.random.default_rng(1)
    for number, mask in enumerate(masks):
        label = "ab"[number % 2]
        for kind in ("images", "masks"):
            (root / kind / label).mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (10, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / label / f"{number}.png")
        mask.save(root / "masks" / label / f"{number}.png")
    return root


def label_mask(index=INDEX):
    return Image.fromarray(index)


@pytest.mark.parametrize(
    "mask",
    [
        label_mask(),
        Image.fromarray(INDEX.astype(np.uint16)),
        Image.fromarray(INDEX.astype(np.int32)),
        Image.fromarray(INDEX.astype(np.float32)),
        Image.fromarray(COLOURS[INDEX]),
        Image.fromarray(COLOURS[INDEX]).convert("RGBA"),
        palette_mask([0, 1, 2]),
        palette_mask([2, 0, 1]),
    ],
    ids=lambda mask: mask.mode,
)
def test_label_palette_and_rgb_masks_give_the_same_arrays(tmp_path, mask):
    classes = classes_of(tmp_path)
    assert classes.names == ("vein", "lesion")
    mask.save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", (12, 10), classes), INDEX)


def test_values_may_be_any_and_the_background_may_have_a_colour(tmp_path):
    classes = classes_of(tmp_path, "value;name\n170;lesion\n85;vein\n")
    np.testing.assert_array_equal(classes.read(label_mask(INDEX * np.uint8(85))), INDEX)
    grey = Image.merge("RGB", [label_mask(INDEX * np.uint8(85))] * 3)
    np.testing.assert_array_equal(classes.read(grey), INDEX)
    white = classes_of(tmp_path, "value,name,colour\n0,nothing,ffffff\n" + TABLE.split("\n", 1)[1])
    colours = COLOURS.copy()
    colours[0] = 255
    np.testing.assert_array_equal(white.read(Image.fromarray(colours[INDEX])), INDEX)
    assert classes_of(tmp_path, mask_classes_text(white)) == white


def test_one_named_structure_has_only_its_value(tmp_path):
    classes = classes_of(tmp_path, "value,name\n255,vein\n")
    np.testing.assert_array_equal(classes.read(label_mask((INDEX > 0) * np.uint8(255))), INDEX > 0)
    with pytest.raises(ValueError, match=r"has the value 1, 2, which .* does not list \(0, 255\)"):
        classes.read(label_mask())


@pytest.mark.parametrize(
    ("mask", "table", "says"),
    [
        (label_mask(INDEX * 4), TABLE, r"value 4, 8, which mask_classes.csv does not list \(0, 1, 2\): correct"),
        (Image.fromarray(COLOURS[INDEX] // 2), TABLE, r"colour #00007f, #7f0000, which .* \(#000000, #ff0000"),
        (Image.fromarray(COLOURS[INDEX]), "value,name\n1,vein\n2,lesion\n", r"colours, and .* no column colour"),
        (Image.fromarray(INDEX / np.float32(2)), TABLE, r"the value 0.5, which is no whole number"),
    ],
    ids=["value", "colour", "no-colours", "fraction"],
)
def test_what_the_file_does_not_list_is_one_line_with_the_mask(tmp_path, mask, table, says):
    classes = classes_of(tmp_path, table)
    mask.save(tmp_path / "m.tif")
    with pytest.raises(DataError, match=rf"^mask .*m.tif has .*{says}") as error:
        read_mask(tmp_path / "m.tif", (12, 10), classes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "needs lines with the columns value,name"),
        ("value,class\n1,vein\n", "needs lines with the columns value,name"),
        ("value,name\n1,vein,3,4\n", "cannot be read as a CSV file"),
        ("value,name\nx,vein\n", "line 2 of .* has the value 'x': give a number from 0 to 65535"),
        ("value,name\n1,\n", "line 2 of .* has no name: name the class of value 1"),
        ("value,name,colour\n1,vein,red\n", "line 2 of .* has the colour 'red': write #rrggbb"),
        ("value,name,colour\n1,vein,#ff0000\n2,lesion,\n", "gives some classes a colour and others none"),
        ("value,name\n1,vein\n1,lesion\n", "lists the value 1 twice"),
        ("value,name\n1,vein\n2,vein\n", "lists the name 'vein' twice"),
        ("value,name,colour\n1,vein,#00000f\n2,lesion,#00000f\n", "lists the colour #00000f twice"),
        ("value,name\n0,ground\n", "names 0 classes: give 1 to 254"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_in_loading_and_checking(tmp_path, table, says):
    write_set(tmp_path, [label_mask()] * 8)
    (tmp_path / MASK_CLASSES).write_text(table)
    with pytest.raises(DataError, match=says) as error:
        load_manifest(tmp_path)
    assert "\n" not in str(error.value)
    assert ("error", "bad-mask-classes") in {(row.level, row.code) for row in check_data(tmp_path)}


def test_the_check_names_strange_values_and_classes_that_no_mask_has(tmp_path):
    write_set(tmp_path, [label_mask(np.minimum(INDEX, 1))] * 8)
    ((level, code, message),) = [(row.level, row.code, row.message) for row in check_data(tmp_path)]
    assert (level, code) == ("warning", "absent-mask-class") and "'lesion'" in message
    label_mask(INDEX * 2).save(tmp_path / "masks" / "a" / "0.png")
    error, absent = check_data(tmp_path)
    assert (error.level, error.code, error.path) == ("error", "unknown-mask-value", "masks/a/0.png")
    assert error.message.startswith("has the value 4, which") and absent.code == "absent-mask-class"


def test_the_dataset_and_the_fingerprint_follow_the_classes(tmp_path):
    plain = load_manifest(write_set(tmp_path, [label_mask()] * 4, table=""))
    named = load_manifest(write_set(tmp_path, [label_mask()] * 4))
    config = DataConfig(size=16, fit="crop")
    for manifest, wanted in ((plain, INDEX > 0), (named, INDEX)):
        mask = LeafDataset(manifest.samples, manifest.classes, config, train=False)[0].mask_1HW
        np.testing.assert_array_equal(mask[0, :10, :12], wanted)
    bare = tuple(replace(sample, mask_classes=None) for sample in named.samples)
    assert digests(plain) == digests(replace(named, samples=bare)) != digests(named)
    other = load_manifest(write_set(tmp_path, [label_mask()] * 4, table=TABLE.replace("lesion", "blade")))
    assert set(digests(other).values()).isdisjoint(digests(named).values())


def test_blanking_keeps_every_class_and_augmentation_keeps_the_values(tmp_path):
    plain = load_manifest(write_set(tmp_path, [label_mask()] * 2, table=""))
    named = load_manifest(write_set(tmp_path, [label_mask()] * 2))
    config = DataConfig(size=16, fit="crop", hflip=1.0, rotate=30.0)
    blanked = [LeafDataset(each.samples, each.classes, config, train=False, blank=True)[0] for each in (plain, named)]
    assert torch.equal(blanked[0].image_CHW, blanked[1].image_CHW)
    mask = LeafDataset(named.samples, named.classes, config, train=True)[0].mask_1HW
    assert set(mask.unique().tolist()) == {0, 1, 2}


def test_a_bundles_classes_number_those_of_new_data(tmp_path):
    manifest = load_manifest(write_set(tmp_path, [label_mask()] * 4))
    turned = manifest.with_mask_classes(("blade", "lesion", "vein"))
    mask = read_mask(turned.samples[0].mask, (12, 10), turned.samples[0].mask_classes)
    np.testing.assert_array_equal(mask, np.array([0, 3, 2])[INDEX])
    assert manifest.with_mask_classes(()) is manifest
    with pytest.raises(DataError, match=r"mask classes that the bundle does not have \(lesion\); .* are: vein, blade"):
        manifest.with_mask_classes(("vein", "blade"))
    (tmp_path / MASK_CLASSES).unlink()
    with pytest.raises(DataError, match=r"masks without classes, but the bundle tells vein, lesion apart"):
        load_manifest(tmp_path).with_mask_classes(("vein", "lesion"))


@pytest.mark.parametrize("table", [TABLE, "value,name\n85,vein\n170,lesion\n", "value,name\n7,vein\n700,lesion\n"])
def test_a_picture_of_classes_is_read_as_the_same_classes(tmp_path, table):
    classes = classes_of(tmp_path, table)
    classes.picture(INDEX).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (12, 10), classes), INDEX)
    own = MaskClasses.of([f"class {number}" for number in range(20)])
    assert len({mark.colour for mark in own.marks}) == 21
    own.picture(INDEX).save(tmp_path / "own.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "own.png", (12, 10), own), INDEX)
