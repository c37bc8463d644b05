"""Lists of data sets and the exports of annotation tools: CSV, JSON, YAML, XML, text and pickle."""

import functools
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from venation.data.groups import read_groups
from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.data.plain_pickle import read_plain_pickle
from venation.data.shapes import write_brush

from .attempt import Kind
from .mutations import VALUES, changed_json, joined, mutated

SIZE = (20, 16)
LEAVES = ("ash/1.png", "ash/2.png", "elm/1.png", "elm/3.png")
CORNERS = [4, 2, 14, 2, 14, 10, 4, 10]


@functools.cache
def _files() -> tuple[bytes, bytes]:
    """Return the content of an image and of its mask."""
    found = []
    for pixels in (np.full((SIZE[1], SIZE[0], 3), 90, np.uint8), np.eye(SIZE[1], SIZE[0], dtype=np.uint8)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        found.append(file.getvalue())
    return found[0], found[1]


def _write_leaves(folder: Path, below: str = "images", masks: str = "") -> None:
    for place, content in zip((below, masks), _files(), strict=True):
        for name in LEAVES if place else ():
            path = folder / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _manifest() -> list[bytes]:
    rows = [f"images/{name},{name[:3]},masks/{name},,g{n}" for n, name in enumerate(LEAVES)]
    text = "\n".join(["image,label,mask,split,group", *rows]) + "\n"
    return [text.encode(), b"\xef\xbb\xbf" + text.replace(",", ";").encode(), text.replace(",,", ",train,").encode()]


def _read_data(name: str, content: bytes, folder: Path) -> None:
    _write_leaves(folder, masks="masks")
    (folder / name).write_bytes(content)
    manifest = load_manifest(folder)
    if name == "groups.json":
        read_groups(folder / name, manifest.classes)


def _coco() -> list[bytes]:
    runs = [{"size": [16, 20], "counts": [66, 8, 246]}, {"size": [16, 20], "counts": "R28f7"}]
    shapes = [[CORNERS], runs[0], [CORNERS, [15, 11, 18, 11, 18, 12, 15, 12]], []]
    document = {
        "images": [{"id": n, "file_name": name, "width": 20, "height": 16} for n, name in enumerate(LEAVES)],
        "categories": [{"id": 3, "name": "ash"}, {"id": 5, "name": "elm"}],
        "annotations": [
            {"id": 10 + n, "image_id": n, "category_id": 3 if n < 2 else 5, "segmentation": each, "bbox": [4, 2, 9, 8]}
            for n, each in enumerate(shapes)
        ],
    }
    return [json.dumps(document).encode()]


def _label_studio() -> list[bytes]:
    percent = [[100 * x / 20, 100 * y / 16] for x, y in zip(CORNERS[::2], CORNERS[1::2], strict=True)]
    brush = write_brush(np.eye(SIZE[1], SIZE[0], dtype=np.bool_))
    shapes = [
        {"type": "polygonlabels", "value": {"points": percent, "polygonlabels": ["vein"]}},
        {"type": "brushlabels", "value": {"format": "rle", "rle": brush, "brushlabels": ["vein"]}},
    ]
    size = {"original_width": 20, "original_height": 16, "to_name": "image", "from_name": "x"}
    tasks = [
        {
            "id": n,
            "data": {"image": f"/data/upload/3/0a1b2c3d-{n + 2}.png" if n else "/data/local-files/?d=ash/1.png"},
            "annotations": [
                {"result": [shape | size, {"type": "choices", "value": {"choices": ["ae"[n] + "x"]}} | size]}
            ],
        }
        for n, shape in enumerate(shapes)
    ]
    return [json.dumps(tasks).encode()]


def _cvat() -> list[bytes]:
    return [
        b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><meta><task><labels><label><name>ash</name></label><label><name>elm</name></label>
<label><name>vein</name></label></labels></task></meta>
<image id="0" name="ash/1.png" subset="train" width="20" height="16">
<tag label="ash"/><polygon label="vein" points="4,2;14,2;14,10;4,10"/></image>
<image id="1" name="elm/3.png" subset="Validation" width="20" height="16">
<tag label="elm"/><mask label="vein" rle="1, 9, 1, 9" left="3" top="5" width="10" height="2"/></image>
</annotations>
"""
    ]


YOLO = b"path: /data/yolo\ntrain: images\nnames: {0: ash, 1: elm}\n"
_TEXT_OF_YOLO = (b"0 0.2 0.125 0.7 0.125 0.7 0.625 0.2 0.625\n", b"0 0.5 0.5 0.2 0.2\n")


def _read_yolo(name: str, content: bytes, folder: Path) -> None:
    for number, leaf in enumerate(LEAVES):
        path = folder / "labels" / Path(leaf).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_TEXT_OF_YOLO[0].replace(b"0 ", b"%d " % (number // 2), 1))
    (folder / "data.yaml").write_bytes(YOLO)
    _import("yolo", name, content, folder)


def _import(layout: str, name: str, content: bytes, folder: Path) -> None:
    """Import a data set whose file ``name`` is the input; what is refused leaves nothing."""
    if not (folder / "images").exists():
        _write_leaves(folder)
    (folder / name).write_bytes(content)
    out = folder.parent / "tmp" / "out"
    import_data(layout, folder, out)
    shutil.rmtree(out)  # what is refused leaves nothing


def _metadata() -> list[bytes]:
    return ["\n".join(["file_name,label", *(f"images/{name},{name[:3]}" for name in LEAVES)]).encode()]


def _read_lists(name: str, content: bytes, folder: Path) -> None:
    """Import CUB's lists, of which one is the input."""
    lists = {
        "images.txt": LEAVES,
        "image_class_labels.txt": "1122",
        "train_test_split.txt": "1010",
        "bounding_boxes.txt": ["2.0 2.0 9.0 8.0"] * 4,
    }
    for file, values in lists.items():
        (folder / file).write_text("".join(f"{n} {value}\n" for n, value in enumerate(values, 1)))
    (folder / "classes.txt").write_text("1 001.Red_Ash\n2 002.White_Elm\n")
    _import("cub", name, content, folder)


def _read_ufg(name: str, content: bytes, folder: Path) -> None:
    (folder / "test.csv").write_text("image,label\nelm/3.png,2\n")
    _import("ufg", name, content, folder)


def _read_pickle(content: bytes, folder: Path) -> None:
    for split, names in (("train", ("0.png", "1.png")), ("test", ("2.png",)), ("l2_mask", ("0.png", "1.png"))):
        (folder / split).mkdir()
        for name in names:
            (folder / split / name).write_bytes(_files()[split == "l2_mask"])
    path = folder / "labels.pkl"
    path.write_bytes(content)
    read_plain_pickle(path)
    _import("mganet", "labels.pkl", content, folder)


def _pickles() -> list[bytes]:
    return [pickle.dumps({0: 1, 1: 2, 2: 1}, protocol) for protocol in range(6)]


_OPCODES = [bytes([code]) for code in range(0x28, 0x7F)] + [bytes([code]) for code in range(0x80, 0x98)]
_OPCODES += [b"\x00", b"\xff\xff\xff\x7f", b"\x01", b"1\n", b"builtins\neval\n", b"x\n", b"."]


def _pickled(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    # Text that is no UTF-8 cannot be pickled.
    plain = st.tuples(VALUES, st.integers(0, 5)).map(lambda pair: pickle.dumps(_encodable(pair[0]), pair[1]))
    return mutated(seeds) | plain | joined(_OPCODES)


def _encodable(value: object) -> object:
    return json.loads(json.dumps(value).replace("\\ud800", ""))


def _kind(
    name: str, layout: str, seeds: Callable[[], list[bytes]], *, share: int, documents: bool = False, file: str = ""
) -> Kind:
    """Return the kind of one file of a layout that is imported."""
    read = {"yolo": _read_yolo, "cub": _read_lists, "ufg": _read_ufg}.get(layout)
    reader = functools.partial(read, file) if read else functools.partial(_import, layout, file)
    return Kind(name, seeds, changed_json if documents else mutated, reader, share)


KINDS = (
    Kind("manifest.csv", _manifest, mutated, functools.partial(_read_data, "manifest.csv"), share=5),
    Kind(
        "mask_classes.csv",
        lambda: [b"value,name,colour\n0,background,#000000\n1,vein,#ff0000\n", b"value;name\n1;vein\n"],
        mutated,
        functools.partial(_read_data, "mask_classes.csv"),
        share=3,
    ),
    Kind(
        "groups.json",
        lambda: [b'{"ash": "tree", "elm": "shrub"}'],
        changed_json,
        functools.partial(_read_data, "groups.json"),
        share=2,
    ),
    Kind("labels.pkl", _pickles, _pickled, _read_pickle, share=7, few=40),
    _kind("COCO", "coco", _coco, share=3, documents=True, file="instances_train.json"),
    _kind("Label Studio", "label-studio", _label_studio, share=3, documents=True, file="export.json"),
    _kind("CVAT", "cvat", _cvat, share=3, file="annotations.xml"),
    _kind("YOLO: data.yaml", "yolo", lambda: [YOLO], share=3, file="data.yaml"),
    _kind("YOLO: shapes", "yolo", lambda: list(_TEXT_OF_YOLO), share=2, file="labels/ash/1.txt"),
    _kind("metadata.csv", "imagefolder", _metadata, share=2, file="metadata.csv"),
    _kind(
        "CUB: images.txt",
        "cub",
        lambda: [b"".join(b"%d %s\n" % (n, name.encode()) for n, name in enumerate(LEAVES, 1))],
        share=1,
        file="images.txt",
    ),
    _kind(
        "UFG: train.csv",
        "ufg",
        lambda: [b"image,label\nash/1.png,1\nash/2.png,1\nelm/1.png,2\n"],
        share=1,
        file="train.csv",
    ),
)
