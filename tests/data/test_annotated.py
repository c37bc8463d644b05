"""Exports of annotation tools become data sets: labels, masks, splits; faults are one line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from layout_helpers import assert_refused

from venation.data.images import read_mask
from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.data.shapes import write_brush

SIZE = (20, 16)  # width, height
# The same rectangle in the units of each tool: columns 4 to 13, rows 2 to 9.
CORNERS = [4, 2, 14, 2, 14, 10, 4, 10]
INSIDE = np.zeros(SIZE[::-1], dtype=bool)
INSIDE[2:10, 4:14] = True


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def mask_of(folder: Path, name: str) -> np.ndarray:
    manifest = load_manifest(folder)
    (sample,) = (each for each in manifest.samples if each.image == folder / name)
    return read_mask(sample.mask, SIZE, sample.mask_classes)


@pytest.fixture
def source(save, tmp_path: Path) -> Path:
    """Write two images each of ash and elm, in folders of these names."""
    for name in ("ash/1.png", "ash/2.png", "elm/1.png", "elm/3.png"):
        save(f"export/images/{name}", size=SIZE)
    return tmp_path / "export"


def coco(**changes) -> dict:
    names = ["ash/1.png", "ash/2.png", "elm/1.png", "elm/3.png"]
    runs = {"size": [16, 20], "counts": [66, 8, 246]}
    segmentations = [[CORNERS], runs, [CORNERS, [15, 11, 18, 11, 18, 12, 15, 12]], []]
    return {
        "images": [{"id": n, "file_name": name, "width": 20, "height": 16} for n, name in enumerate(names)],
        "categories": [{"id": 3, "name": "ash"}, {"id": 5, "name": "elm"}],
        "annotations": [
            {"id": 10 + n, "image_id": n, "category_id": 3 if n < 2 else 5, "segmentation": each, "bbox": [4, 2, 9, 8]}
            for n, each in enumerate(segmentations)
        ],
    } | changes


def write(source: Path, content: object, name: str = "instances_train.json") -> None:
    (source / name).write_text(content if isinstance(content, str) else json.dumps(content))


def test_coco_categories_are_labels_and_segmentations_masks(source: Path, out: Path) -> None:
    write(source, coco())
    import_data("coco", source, out)
    found = rows(out)
    assert {name: (row["label"], row["split"], row["mask"]) for name, row in found.items()} == {
        "images/ash/1.png": ("ash", "train", "masks/ash/1.png"),
        "images/ash/2.png": ("ash", "train", "masks/ash/2.png"),
        "images/elm/1.png": ("elm", "train", "masks/elm/1.png"),
        "images/elm/3.png": ("elm", "train", ""),
    }
    assert (mask_of(out, "images/ash/1.png") == INSIDE).all()
    # 66 pixels of background down the columns are four columns of 16 and two pixels.
    column = np.zeros_like(INSIDE)
    column[2:10, 4] = True
    assert (mask_of(out, "images/ash/2.png") == column).all()
    assert mask_of(out, "images/elm/1.png").sum() == INSIDE.sum() + 3


def test_coco_categories_are_mask_classes_if_the_folder_is_the_label(source: Path, out: Path) -> None:
    content = coco(categories=[{"id": 3, "name": "vein"}, {"id": 5, "name": "lesion"}])
    content["annotations"].append(
        content["annotations"][0] | {"category_id": 5, "segmentation": [[4, 2, 9, 2, 9, 4, 4, 4]]}
    )
    write(source, content)
    import_data("coco", source, out, label_from="folder")
    assert rows(out)["images/ash/1.png"]["label"] == "ash"
    assert load_manifest(out).samples[0].mask_classes.names == ("lesion", "vein")
    mask_HW = mask_of(out, "images/ash/1.png")
    assert (mask_HW[2:4, 4:9] == 1).all() and (mask_HW > 0).tolist() == INSIDE.tolist()
    assert_refused(source, "coco", "shapes of several categories.*with --label-from folder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": [{"id": n, "file_name": f"gone{n}.png"} for n in range(5)], "annotations": []},
            r"no image gone0.png.*\(5 in all\)",
        ),
        ({"annotations": [{"id": 7, "image_id": 0, "category_id": 9}]}, r"category 9: use 3 \(ash\), 5 \(elm\)"),
        ({"annotations": [{"id": 7, "image_id": 44, "category_id": 3}]}, "of image 44, which it lacks"),
        ({"annotations": []}, r"no shape that gives it a label.*annotate it"),
        ({"images": [{"id": 0, "file_name": "ash/1.png", "width": 16, "height": 20}]}, "of image 1, which it lacks"),
        ({"categories": [{"name": "ash"}]}, "no COCO file .KeyError: 'id'"),
    ],
)
def test_coco_faults(source: Path, changes: dict, message: str) -> None:
    write(source, coco(**changes))
    assert_refused(source, "coco", message)


def test_coco_shapes_and_sizes_that_do_not_fit(source: Path) -> None:
    content = coco()
    content["annotations"][0]["segmentation"] = [[1, 1, 5, 5]]
    write(source, content)
    assert_refused(source, "coco", "annotation 10 of image ash/1.png is a polygon of 2 points; give three or more")
    content["annotations"][0]["segmentation"] = {"size": [16, 20], "counts": [5, 5]}
    write(source, content)
    assert_refused(source, "coco", "run lengths of 10 pixels in all, but 20x16 are 320")
    content["images"][1] |= {"width": 16, "height": 20}
    write(source, content)
    assert_refused(source, "coco", "ash/2.png is 20x16, not 16x20")
    write(source, '{"images": [}')
    assert_refused(source, "coco", "is no JSON: Expecting value in line 1, column 13")


def test_yolo_polygons_and_boxes(save, tmp_path: Path, out: Path) -> None:
    source = tmp_path / "yolo"
    for split in ("train", "val"):
        for number, name in enumerate(("ash", "elm")):
            save(f"yolo/images/{split}/{name}.png", size=SIZE)
            shares = [value / SIZE[place % 2] for place, value in enumerate(CORNERS)]
            numbers = shares if split == "train" else [0.5, 0.5, 0.2, 0.2]
            path = source / "labels" / split / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{number} {' '.join(map(str, numbers))}\n")
    (source / "data.yaml").write_text(
        "path: /data/yolo\ntrain: images/train\nval: ../yolo/images/val\nnames: [ash, elm]\n"
    )
    import_data("yolo", source, out)
    assert {name: (row["label"], row["split"]) for name, row in rows(out).items()} == {
        f"images/{split}/{name}.png": (name, split) for split in ("train", "val") for name in ("ash", "elm")
    }
    assert (mask_of(out, "images/train/ash.png") == INSIDE).all()
    assert rows(out)["images/val/elm.png"]["mask"] == ""
    label = source / "labels/train/ash.txt"
    for line, message in (
        ("7 0.1 0.1 0.2 0.2 0.3 0.1", r"class '7': use 0 \(ash\), 1 \(elm\)"),
        ("0 0.1 0.1 0.2", "line 1 of .*ash.txt has 3 numbers"),
        ("0 0.1 x 0.2 0.3", "a field that is no number"),
    ):
        label.write_text(line)
        assert_refused(source, "yolo", message)
    (source / "data.yaml").write_text("train: nowhere\nnames: {0: ash}")
    assert_refused(source, "yolo", "names the folder 'nowhere'")
    (source / "data.yaml").write_text("train: [")
    assert_refused(source, "yolo", "is not YAML: .*line 1, column 9")


def test_yolo_folders_of_classes(save, tmp_path: Path, out: Path) -> None:
    for split in ("train", "valid", "test"):
        for name in ("ash", "elm"):
            save(f"yolo/{split}/{name}/1.jpg", size=SIZE)
    import_data("yolo", tmp_path / "yolo", out)
    assert {(row["label"], row["split"]) for row in rows(out).values()} == {
        (name, split) for split in ("train", "val", "test") for name in ("ash", "elm")
    }


def result(kind: str, value: dict) -> dict:
    return {
        "original_width": 20,
        "original_height": 16,
        "to_name": "image",
        "from_name": "x",
        "type": kind,
        "value": value,
    }


def test_label_studio_choices_polygons_and_brushes(source: Path, out: Path) -> None:
    percent = [[100 * x / 20, 100 * y / 16] for x, y in zip(CORNERS[::2], CORNERS[1::2], strict=True)]
    polygon = result("polygonlabels", {"points": percent, "polygonlabels": ["vein"]})
    brush = result("brushlabels", {"format": "rle", "rle": write_brush(INSIDE), "brushlabels": ["vein"]})
    names = ["/data/upload/3/0a1b2c3d-2.png", "/data/local-files/?d=ash/1.png", "s3://leaves/raw/3.png"]
    shapes, choices = [[polygon], [brush], []], ["ash", "ash", "elm"]
    tasks = [
        {
            "id": n,
            "data": {"image": name},
            "annotations": [{"result": [*shapes[n], result("choices", {"choices": [choices[n]]})]}],
        }
        for n, name in enumerate(names)
    ]
    tasks.append({"id": 9, "data": {"image": "gone.png"}, "annotations": []})
    write(source, tasks)
    import_data("label-studio", source, out)
    assert {name: row["label"] for name, row in rows(out).items()} == {
        "images/ash/1.png": "ash", "images/ash/2.png": "ash", "images/elm/3.png": "elm"
    }  # fmt: skip
    for name in ("ash/1.png", "ash/2.png"):
        assert (mask_of(out, f"images/{name}") == INSIDE).all()
    tasks[0]["data"]["image"] = "/data/upload/3/0a1b2c3d-gone.png"
    write(source, tasks)
    assert_refused(source, "label-studio", "has no image gone.png, though the Label Studio file names it")
    write(
        source, [{"id": 4, "data": {"image": "2.png"}, "annotations": [{"result": [{"type": "choices", "value": {}}]}]}]
    )
    assert_refused(source, "label-studio", "task 4 of .* is no task of Label Studio")
    write(source, {"a": 1})
    assert_refused(source, "label-studio", "has no Label Studio export")


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><labels><label><name>ash</name></label><label><name>elm</name></label><label><name>vein</name></label>
</labels></task></meta>
<image id="0" name="ash/1.png" subset="train" width="20" height="16">
<tag label="ash"/><polygon label="vein" points="4,2;14,2;14,10;4,10"/></image>
<image id="1" name="elm/1.png" subset="Validation" width="20" height="16">
<tag label="elm"/><mask label="vein" rle="1, 9, 1, 9" left="3" top="5" width="10" height="2"/></image>
</annotations>
"""


def test_cvat_tags_polygons_and_masks(source: Path, out: Path) -> None:
    write(source, CVAT, "annotations.xml")
    import_data("cvat", source, out)
    assert {name: (row["label"], row["split"]) for name, row in rows(out).items()} == {
        "images/ash/1.png": ("ash", "train"), "images/elm/1.png": ("elm", "val")
    }  # fmt: skip
    assert (mask_of(out, "images/ash/1.png") == INSIDE).all()
    expected = np.zeros_like(INSIDE)
    expected[5:7, 4:13] = True
    assert (mask_of(out, "images/elm/1.png") == expected).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('polygon label="vein"', 'polygon label="lesion"', "the label 'lesion': use ash, elm, vein"),
        ("4,2;14,2;14,10;4,10", "4,2;14,2", "polygon 2 of image ash/1.png is a polygon of 2 points"),
        ("4,2;14,2;14,10;4,10", "4,2;14", "is not as CVAT writes it"),
        ('left="3"', 'left="13"', "a mask that leaves its image of 20x16"),
        (
            'width="20" height="16">\n<tag label="ash"',
            'width="21" height="16">\n<tag label="ash"',
            "is 20x16, not 21x16",
        ),
        ("</annotations>", "", "is no XML: no element found: line 10"),
        ("<annotations>", "<!DOCTYPE a><annotations>", "declares a document type"),
        ("ash/1.png", "ash/9.png", "has no image ash/9.png"),
    ],
)
def test_cvat_faults(source: Path, old: str, new: str, message: str) -> None:
    assert old in CVAT
    write(source, CVAT.replace(old, new), "annotations.xml")
    assert_refused(source, "cvat", message)


def test_an_image_folder_with_metadata(save, tmp_path: Path, out: Path) -> None:
    lines = ["file_name,label,mask"]
    for number, name in enumerate(("ash", "ash", "elm", "elm")):
        save(f"hub/train/{number}.png", size=SIZE)
        save(f"hub/train/m{number}.png", INSIDE.astype(np.uint8))
        lines.append(f"{number}.png,{name},m{number}.png")
    listing = tmp_path / "hub" / "train" / "metadata.csv"
    listing.write_text("\n".join(lines))
    import_data("imagefolder", tmp_path / "hub", out)
    assert {name: (row["label"], row["split"]) for name, row in rows(out).items()} == {
        f"images/train/{number}.png": (name, "train") for number, name in enumerate(("ash", "ash", "elm", "elm"))
    }
    assert (mask_of(out, "images/train/0.png") == INSIDE).all()
    for text, message in (
        ("file,label\n0.png,ash", "has the columns file, label and no `file_name`"),
        ("file_name,label\ngone.png,ash", "no file .*gone.png"),
        ("file_name\n0.png", "train/0.png has no label"),
        ("file_name,label,mask\n0.png,ash,gone.png", "no mask .*gone.png"),
        ("file_name,label\n../../0.png,ash", "outside the images"),
    ):
        listing.write_text(text)
        assert_refused(tmp_path / "hub", "imagefolder", message)


def test_an_image_that_two_folders_have_is_ambiguous(source: Path) -> None:
    content = coco()
    content["images"][0]["file_name"] = "1.png"
    write(source, content)
    assert_refused(source, "coco", "names 1.png, and 2 files end so")
