"""Small sets in the real layouts of the field, brought in end to end: labels, parts, masks pixel by pixel."""

import csv
import json
import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venation.data.check import check_data
from venation.data.images import read_mask
from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.errors import DataError, UsageError

SIZE = (32, 24)


def lines(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def square(number: int, value: int = 1) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[number : number + 5, 3:9] = value
    return mask


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def by_key(out: Path) -> dict:
    manifest = load_manifest(out)
    return {manifest.key(sample): sample for sample in manifest.samples}


def splits_and_labels(out: Path) -> Counter:
    return Counter((sample.split, sample.label) for sample in load_manifest(out).samples)


def refuses(source: Path, layout: str, match: str, **choices) -> None:
    out = source.parent / "refused"
    with pytest.raises(DataError, match=match) as caught:
        import_data(layout, source, out, **choices)
    assert "\n" not in str(caught.value)
    assert not out.exists() and not [path for path in source.parent.iterdir() if path.name.startswith(".")]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "made" / "set"


# MGANet


@pytest.fixture
def soy(tmp_path, save) -> Path:
    """12 classes, so that names are padded; 4 to train and 2 to test each; file 007.png has key 7."""
    labels = {}
    for number in range(72):
        split, name = ("train" if number % 6 < 4 else "test"), f"{number:03d}.png"
        save(f"soy/{split}/{name}", size=SIZE)
        save(f"soy/l2_mask/{name}", square(number % 12))
        labels[number] = number // 6 + 1
    (tmp_path / "soy" / "labels.pkl").write_bytes(pickle.dumps(labels))
    return tmp_path / "soy"


def test_mganet_numbered(soy, out):
    assert import_data("mganet", soy, out) == out / "manifest.csv"
    manifest = load_manifest(out)
    assert manifest.classes == tuple(f"{label:02d}" for label in range(1, 13))
    assert splits_and_labels(out) == {
        (part, label): n for label in manifest.classes for part, n in (("train", 4), ("test", 2))
    }
    sample = by_key(out)["images/train/007.png"]
    # The label of the layout is 1-based: 7 // 6 + 1.
    assert sample.label == "02" and manifest.label_index(sample) == 1
    assert sample.mask == out / "masks/train/007.png"
    assert np.array_equal(read_mask(sample.mask, SIZE), square(7))
    assert sample.image.read_bytes() == (soy / "train/007.png").read_bytes()
    assert not [path for path in out.rglob("*") if path.is_symlink()]
    assert check_data(out) == []
    divided = assign_splits(manifest, seed=0)
    assert len(divided.split("test")) == 24 and {sample.label for sample in divided.split("val")} == set(
        manifest.classes
    )
    assert not {i.image for i in divided.split("test")} ^ {i.image for i in manifest.split("test")}


def test_mganet_named(tmp_path, save, out):
    labels = {}
    for number in range(9):
        name = f"wing_{number}.png"
        save(f"btf/{'train' if number % 3 else 'test'}/{name}", size=SIZE)
        save(f"btf/l2_mask/{name}", square(number))
        labels[name] = number // 3 + 1
    jpeg = np.where(square(4) > 0, 255, 0).astype(np.uint8)
    save("btf/train/wing_9.jpg", size=SIZE)
    save("btf/l2_mask/wing_9.jpg", jpeg, quality=60)
    labels["wing_9.jpg"] = 1
    (tmp_path / "btf" / "labels.pkl").write_bytes(pickle.dumps(labels, protocol=0))
    (tmp_path / "btf" / "l2_mask" / "wing_1.png").unlink()
    import_data("mganet", tmp_path / "btf", out)
    samples = by_key(out)
    assert samples["images/test/wing_3.png"].label == "2" and samples["images/train/wing_1.png"].mask is None
    assert np.array_equal(read_mask(samples["images/test/wing_3.png"].mask, SIZE), square(3))
    blurred = samples["images/train/wing_9.jpg"].mask
    assert blurred.name == "wing_9.png" and np.array_equal(read_mask(blurred, SIZE), square(4))


def put_labels(soy: Path, value) -> None:
    (soy / "labels.pkl").write_bytes(pickle.dumps(value))


def test_mganet_refuses_what_does_not_fit(soy, save):
    labels = pickle.loads((soy / "labels.pkl").read_bytes())
    put_labels(soy, {key: value for key, value in labels.items() if key >= 5})
    refuses(soy, "mganet", r"no label for train/000.png, train/001.png, train/002.png, \.\.\. \(5 in all\)")
    put_labels(soy, labels | {900: 1})
    refuses(soy, "mganet", "labels 900, but train/ and test/ have no such image")
    put_labels(soy, labels)
    save("soy/test/7.png", size=SIZE)
    refuses(soy, "mganet", "train/007.png and test/7.png are both 7 in")
    (soy / "test" / "7.png").rename(soy / "test" / "x7.png")
    refuses(soy, "mganet", "x7.png is not named by a number")
    (soy / "test" / "x7.png").unlink()
    (soy / "l2_mask").rename(soy / "l3_mask")
    refuses(soy, "mganet", "no folder l2_mask/")
    (soy / "l2_mask").mkdir()
    refuses(soy, "mganet", "has the name that an image's mask has")
    (soy / "labels.pkl").unlink()
    refuses(soy, "mganet", "no labels.pkl")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({}, "an empty dict"),
        ([1, 2], "a list"),
        ({1: 1, "1": 1}, "keys of int and str"),
        ({True: 1}, "keys of bool"),
        ({1: True, 2: 1}, "not class numbers, for 1:"),
        ({1: 2.0}, "not class numbers"),
        ({1: "2"}, "not class numbers"),
        ({1: -1}, "not class numbers"),
        ({1: [1]}, "not class numbers"),
        ({(1,): 1}, "holds tuple1, and only"),
        ({b"1": 1}, "only dicts, lists, numbers and strings|asks for _codecs.encode"),
        ({1: np.int64(3)}, r"asks for numpy\S*\.\w+, and only plain numbers.*no numpy"),
        ({1: np.arange(3)}, r"asks for numpy"),
        ({1: {2}}, "holds empty_set"),
    ],
)
def test_mganet_refuses_other_labels(soy, value, match):
    put_labels(soy, value)
    refuses(soy, "mganet", match)


class Hostile:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["value", "key", "whole"])
def test_a_hostile_pickle_runs_nothing(soy, tmp_path, protocol, place):
    flag = tmp_path / "run"
    payloads = [
        (Hostile(os.system, f"touch {flag}"), r"(posix|nt)\.system"),
        (Hostile(eval, f"open({str(flag)!r}, 'w')"), r"(builtins|__builtin__)\.eval"),
        (Hostile(Path, "x"), r"pathlib\.Path"),
    ]
    for payload, name in payloads:
        value = {"value": {1: payload}, "key": {payload: 1}, "whole": payload}[place]
        (soy / "labels.pkl").write_bytes(pickle.dumps(value, protocol))
        refuses(soy, "mganet", f"labels.pkl is not read: it asks for {name}, and only plain")
    assert not flag.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(i__builtin__\neval\n.",
        b"\x82\x01.",
        b"Pposix\n.",
        b")" + b"\x85" * 2_000_000 + b"}\x94h\x00K\x01s.",
        b"Nr\xff\xff\xff\x7f.",
        b"Nr\x00\x00\x40\x00.",
        b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"}}K\x01s.",
        b"h\x05.",
        b"",
        b"not a pickle at all",
        b"}",
        b"]" + b"]" * 500_000 + b"a" * 500_000 + b".",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_a_damaged_or_bloated_pickle_is_one_line(soy, data):
    (soy / "labels.pkl").write_bytes(data)
    refuses(soy, "mganet", "labels.pkl (is not read|is not a sound pickle|holds a list)")


def test_names_from_a_pickle_cannot_break_the_message(soy):
    (soy / "labels.pkl").write_bytes(b"\x80\x04\x8c\x04o\ns\x1b\x8c\x05\xed\xa0\x80[m\x93.")
    refuses(soy, "mganet", r"asks for o\\ns\\x1b\.\\ud800\[m, and")
    put_labels(soy, {"a\nb\x1b" + "c" * 500: True})
    refuses(soy, "mganet", r"for a\\nb\\x1bc{196}\.\.\.:")


def test_a_huge_pickle_is_not_read(soy):
    with (soy / "labels.pkl").open("wb") as file:
        file.truncate(2**40)
    refuses(soy, "mganet", "more than 16 MiB")


# CUB and NABirds


CUB = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "017.Cardinal")


def write_birds(root: Path, names: dict[str, str], labels: dict[str, str], boxes: str) -> None:
    lines(root / "images.txt", [f"{key} {name}" for key, name in names.items()])
    lines(root / "image_class_labels.txt", [f"{key} {label}" for key, label in labels.items()])
    lines(root / "train_test_split.txt", [f"{key} {int(number % 4 > 0)}" for number, key in enumerate(names)])
    lines(root / "bounding_boxes.txt", [f"{key} {boxes}" for key in names])


@pytest.fixture
def cub(tmp_path, save) -> Path:
    """3 classes of 4; the masks are 51 and 102 (one and two annotators of five) at the rim, 153 and 255 within."""
    names, labels = {}, {}
    for number in range(12):
        key, folder = str(number + 1), CUB[number // 4]
        name = f"{folder}/Bird_{number:04d}.jpg"
        save(f"cub/images/{name}", size=SIZE)
        soft = square(5, 51)
        soft[5, 3:9] = 102
        soft[6:9, 4:8] = 153
        soft[7, 5:7] = 255
        save(f"cub/segmentations/{name[:-4]}.png", soft)
        names[key], labels[key] = name, str(number // 4 + 1)
    write_birds(tmp_path / "cub", names, labels, "10.0 4.0 10.0 8.0")
    lines(tmp_path / "cub" / "classes.txt", [f"{number + 1} {name}" for number, name in enumerate(CUB)])
    return tmp_path / "cub"


def test_cub(cub, out, save):
    save(f"cub/segmentations/{CUB[2]}/Bird_0011.png", square(0, 0))
    import_data("cub", cub, out)
    manifest = load_manifest(out)
    assert manifest.classes == CUB
    assert splits_and_labels(out) == {(part, name): n for name in CUB for part, n in (("test", 1), ("train", 3))}
    sample = by_key(out)[f"images/{CUB[1]}/Bird_0005.jpg"]
    assert (
        sample.split == "train" and sample.image.read_bytes() == (cub / f"images/{CUB[1]}/Bird_0005.jpg").read_bytes()
    )
    expected = np.zeros((24, 32), np.uint8)
    expected[6:9, 4:8] = 1
    assert np.array_equal(read_mask(sample.mask, SIZE), expected)
    assert set(np.unique(pixels(sample.mask))) == {0, 255}
    assert not pixels(by_key(out)[f"images/{CUB[2]}/Bird_0011.jpg"].mask).any()
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
    refuses(cub, "cub", "extract the segmentations again")
    refuses(cub, "cub", "no bounding_boxes.txt", crop_boxes=True)


def test_cub_crops(cub, out, save):
    # A lossless picture shows that image and mask are cut at the same pixels.
    picture = pixels(save(f"cub/images/{CUB[0]}/Bird_0000.png", size=SIZE))
    text = (cub / "images.txt").read_text().replace("Bird_0000.jpg", "Bird_0000.png")
    (cub / "images.txt").write_text(text)
    boxes = (cub / "bounding_boxes.txt").read_text().replace("1 10.0 4.0 10.0 8.0\n", "1 3.0 5.5 6.0 5.0\n", 1)
    (cub / "bounding_boxes.txt").write_text(boxes)
    import_data("cub", cub, out, crop_boxes=True, margin=0.2)
    sample = by_key(out)[f"images/{CUB[0]}/Bird_0000.png"]
    # left 3 - 1.2 -> 1, right 9 + 1.2 -> 11, top 5.5 - 1 -> 4, bottom 10.5 + 1 -> 12
    assert np.array_equal(pixels(sample.image), picture[4:12, 1:11])
    expected = np.zeros((24, 32), np.uint8)
    expected[6:9, 4:8] = 1
    assert np.array_equal(read_mask(sample.mask, (10, 8)), expected[4:12, 1:11])
    with Image.open(by_key(out)[f"images/{CUB[0]}/Bird_0001.jpg"].image) as jpeg:
        assert jpeg.format == "JPEG" and jpeg.size == (14, 12)


def test_cub_refuses_what_does_not_fit(cub, save):
    def change(name: str, old: str, new: str, match: str, **choices) -> None:
        path = cub / name
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new, 1))
        refuses(cub, "cub", match, **choices)
        path.write_text(before)

    for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"):
        (cub / name).rename(cub / "away")
        refuses(cub, "cub", f"no {name}, which the cub layout needs")
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
    refuses(cub, "cub", "classes.txt is not UTF-8")


def test_cub_mask_of_another_size_or_damaged(cub, save):
    mask = save(f"cub/segmentations/{CUB[2]}/Bird_0011.png", square(3)[:10])
    refuses(cub, "cub", "is 32x10 but its image is 32x24", crop_boxes=True)
    mask.write_bytes(b"broken")
    refuses(cub, "cub", "Bird_0011.png cannot be decoded")


@pytest.fixture
def nabirds(tmp_path, save) -> Path:
    """4 leaf classes, two of one name under two parents; class 99 has no images; names hold blanks and commas."""
    names, labels = {}, {}
    for number in range(16):
        leaf = (817, 818, 901, 902)[number // 4]
        key = f"0000139e-21dc-4d0c-bfe1-{number:012d}"
        names[key], labels[key] = f"{leaf:04d}/{key.replace('-', '')}.jpg", str(leaf)
        save(f"nabirds/images/{names[key]}", size=SIZE)
    root = tmp_path / "nabirds"
    write_birds(root, names, labels, "8 4 16 10")
    lines(
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
    lines(root / "hierarchy.txt", ["817 22", "818 22", "901 23", "902 0", "99 0", "22 0", "23 0"])
    return root


def test_nabirds(nabirds, out):
    import_data("nabirds", nabirds, out)
    manifest = load_manifest(out)
    eiders = "Common Eider (Adult male)", "Common Eider (Female, juvenile)"
    assert manifest.classes == (*eiders, "Diver (901)", "Diver (902)")
    assert set(splits_and_labels(out).values()) == {1, 3} and not manifest.has_masks
    key = "0000139e-21dc-4d0c-bfe1-000000000004"
    sample = by_key(out)[f"images/0818/{key.replace('-', '')}.jpg"]
    assert (sample.label, sample.split) == (eiders[1], "test")
    groups = {eiders[0]: "Ducks, Geese, and Swans", eiders[1]: "Ducks, Geese, and Swans"}
    assert json.loads((out / "groups.json").read_text()) == groups | {"Diver (901)": "Loons", "Diver (902)": "Birds"}
    assert assign_splits(manifest, seed=0).split("val")


def test_nabirds_crops_and_refuses_orphans(nabirds, out):
    import_data("nabirds", nabirds, out, crop_boxes=True, margin=0.0)
    assert {pixels(sample.image).shape for sample in load_manifest(out).samples} == {(10, 16, 3)}
    path = nabirds / "hierarchy.txt"
    path.write_text(path.read_text().replace("818 22\n", ""))
    refuses(nabirds, "nabirds", "gives class 818 no parent")
    path.unlink()
    refuses(nabirds, "nabirds", "no hierarchy.txt")


# The ultra-fine-grained sets


def write_ufg(root: Path, save, *, header: str, prefix: str = "", folder: str = "images/", parts=("train", "test")):
    """12 classes numbered from 0, in each part one image, in the header form given."""
    for part in parts:
        rows = [header]
        for number in range(12):
            name = f"R1/leaf {number:02d}_{part}.png"
            save(f"{root.name}/{folder}{name}", size=SIZE)
            fields = {"dir": name, "image_id": name, "id": number, "label": number, "class_id": number}
            rows.append(",".join(str(fields[column]) for column in header.split(",")))
        lines(root / f"{prefix}{part}.csv", rows)


@pytest.mark.parametrize("header", ["dir,label", "id,dir,label", "image_id,class_id", "class_id,dir"])
@pytest.mark.parametrize(("prefix", "folder"), [("", "images/"), ("soy_", "")])
def test_ufg_header_forms(tmp_path, save, out, header, prefix, folder):
    parts = ("train", "val", "test") if prefix else ("train", "test")
    write_ufg(tmp_path / "ufg", save, header=header, prefix=prefix, folder=folder, parts=parts)
    import_data("ufg", tmp_path / "ufg", out)
    manifest = load_manifest(out)
    assert manifest.classes == tuple(f"{number:02d}" for number in range(12))
    assert splits_and_labels(out) == {(part, name): 1 for name in manifest.classes for part in parts}
    sample = by_key(out)["images/R1/leaf 07_test.png"]
    assert (sample.label, sample.split, manifest.label_index(sample)) == ("07", "test", 7)
    assert not (out / "groups.json").exists()


def test_ufg_class_names_and_joined_parts(tmp_path, save, out):
    root = tmp_path / "ufg"
    write_ufg(root, save, header="dir,label", prefix="4_")
    (root / "4_train.csv").rename(root / "4_train_val.csv")
    names = [f"{number},{'Twin' if number < 2 else f'Soy {number}, old'!r}" for number in range(12)]
    lines(root / "4_classid_classname.csv", ["class_id,class_name", *(name.replace("'", '"') for name in names)])
    import_data("ufg", root, out)
    labels = {sample.label for sample in load_manifest(out).samples}
    assert labels == {"Twin (0)", "Twin (1)"} | {f"Soy {number}, old" for number in range(2, 12)}
    assert len(load_manifest(out).split("train")) == 12


def test_ufg_release_lists(tmp_path, save, out):
    root = tmp_path / "cotton"
    for part in ("train", "test"):
        names = [f"leaf {number}_{part}.jpg" for number in range(1, 4)]
        for name in names:
            save(f"cotton/images/{name}", size=SIZE)
        lines(root / "anno" / f"{part}.txt", [f"{name} {number + 1}" for number, name in enumerate(names)])
    import_data("ufg", root, out)
    assert splits_and_labels(out) == {(part, label): 1 for label in "123" for part in ("train", "test")}


def test_ufg_refuses_what_does_not_fit(tmp_path, save):
    root = tmp_path / "ufg"
    root.mkdir()
    refuses(root, "ufg", "no train.csv, which the ufg layout needs")
    write_ufg(root, save, header="dir,label")
    train, text = root / "train.csv", (root / "train.csv").read_text()
    train.write_text(text + "R1/leaf 03_test.png,3\n")
    refuses(root, "ufg", "name R1/leaf 03_test.png more than once")
    train.write_text(text + "R1/gone.png,3\n")
    refuses(root, "ufg", "no file .*gone.png")
    train.write_text(text + "../../out.png,3\n")
    refuses(root, "ufg", "outside the images")
    train.write_text(text + "R1/x.png,three\n")
    refuses(root, "ufg", "image 'R1/x.png' with class 'three'")
    train.write_text(text.replace("dir,label", "dir,kind"))
    refuses(root, "ufg", r"columns dir, kind, none for the class \(class_id, label\)")
    train.write_text(text)
    lines(root / "classid_classname.csv", ["class_id,class_name", "0,Zero"])
    refuses(root, "ufg", r"no name for class 1, 2, 3, \.\.\. \(11 in all\)")
    (root / "classid_classname.csv").unlink()
    for name in ("train", "test"):
        (root / f"{name}.csv").rename(root / f"a_{name}.csv")
        lines(root / f"b_{name}.csv", ["dir,label"])
    refuses(root, "ufg", r"several sets \(a_test.csv, b_test.csv\)")


# All layouts


def test_choices_that_make_no_sense(cub, out):
    with pytest.raises(UsageError, match="'coco' is no layout: choose one of mganet, cub, nabirds, ufg"):
        import_data("coco", cub, out)
    with pytest.raises(UsageError, match="mganet layout has no bounding boxes"):
        import_data("mganet", cub, out, crop_boxes=True)
    with pytest.raises(UsageError, match="margin is -0.1"):
        import_data("cub", cub, out, crop_boxes=True, margin=-0.1)
    with pytest.raises(DataError, match="nowhere is not a folder"):
        import_data("cub", cub / "nowhere", out)


def test_the_target_must_be_new_or_empty(cub, out):
    out.mkdir(parents=True)
    import_data("cub", cub, out)
    before = (out / "manifest.csv").read_bytes()
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        import_data("cub", cub, out)
    assert (out / "manifest.csv").read_bytes() == before
    header = next(csv.reader(before.decode().splitlines()))
    assert header == ["image", "label", "mask", "split", "group"]


def test_files_are_linked_or_copied_never_symlinked(soy, out, monkeypatch, tmp_path):
    real = (soy / "train" / "000.png").rename(tmp_path / "real.png")
    (soy / "train" / "000.png").symlink_to(real)
    import_data("mganet", soy, out)
    linked = out / "images/train/000.png"
    assert linked.samefile(real) and not linked.is_symlink()

    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    import_data("mganet", soy, tmp_path / "copied")
    copied = tmp_path / "copied/images/train/000.png"
    assert not copied.is_symlink() and not copied.samefile(real) and copied.read_bytes() == real.read_bytes()
    assert load_manifest(tmp_path / "copied").has_masks


def test_one_class_and_two_files_of_one_name(tmp_path, save):
    for number in range(3):
        save(f"set/train/{number}.png", size=SIZE)
        save(f"set/l2_mask/{number}.png", square(number))
    (tmp_path / "set/test").mkdir()
    (tmp_path / "set/labels.pkl").write_bytes(pickle.dumps(dict.fromkeys(range(3), 1)))
    refuses(tmp_path / "set", "mganet", "has 3 images of 1 classes")
    for suffix in ("jpg", "png"):
        save(f"set/train/a.{suffix}", size=SIZE)
        save(f"set/l2_mask/a.{suffix}", square(2))
    labels = {f"{number}.png": 1 for number in range(3)} | {"a.jpg": 2, "a.png": 2}
    (tmp_path / "set/labels.pkl").write_bytes(pickle.dumps(labels))
    refuses(tmp_path / "set", "mganet", "would become masks/train/a.png")


def test_a_write_that_fails_leaves_nothing(cub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="check permissions and free space"):
        import_data("cub", cub, tmp_path / "file" / "set")
