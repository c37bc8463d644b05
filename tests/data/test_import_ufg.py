"""Ultra-fine-grained data sets: all forms of lists, class names, and malformed lists."""

from pathlib import Path

import pytest
from layout_helpers import SIZE, assert_refused, count_splits_and_labels, samples_by_key, write_lines

from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.errors import DataError


def write_ufg(root: Path, save, *, header: str, prefix: str = "", folder: str = "images/", splits=("train", "test")):
    """Write 12 classes numbered from 0, one image in each split, with the given CSV header."""
    for split in splits:
        rows = [header]
        for number in range(12):
            name = f"R1/leaf {number:02d}_{split}.png"
            save(f"{root.name}/{folder}{name}", size=SIZE)
            fields = {"dir": name, "image_id": name, "id": number, "label": number, "class_id": number}
            rows.append(",".join(str(fields[column]) for column in header.split(",")))
        write_lines(root / f"{prefix}{split}.csv", rows)


@pytest.mark.parametrize("header", ["dir,label", "id,dir,label", "image_id,class_id", "class_id,dir"])
@pytest.mark.parametrize(("prefix", "folder"), [("", "images/"), ("soy_", "")])
def test_ufg_header_forms(tmp_path, save, out, header, prefix, folder):
    splits = ("train", "val", "test") if prefix else ("train", "test")
    write_ufg(tmp_path / "ufg", save, header=header, prefix=prefix, folder=folder, splits=splits)
    import_data("ufg", tmp_path / "ufg", out)
    manifest = load_manifest(out)
    assert manifest.classes == tuple(f"{number:02d}" for number in range(12))
    assert count_splits_and_labels(out) == {(split, name): 1 for name in manifest.classes for split in splits}
    sample = samples_by_key(out)["images/R1/leaf 07_test.png"]
    assert (sample.label, sample.split, manifest.label_index(sample)) == ("07", "test", 7)
    assert not (out / "groups.json").exists()


def test_ufg_class_names_and_joined_splits(tmp_path, save, out):
    root = tmp_path / "ufg"
    write_ufg(root, save, header="dir,label", prefix="4_")
    (root / "4_train.csv").rename(root / "4_train_val.csv")
    names = [f"{number},{'Twin' if number < 2 else f'Soy {number}, old'!r}" for number in range(12)]
    write_lines(root / "4_classid_classname.csv", ["class_id,class_name", *(name.replace("'", '"') for name in names)])
    import_data("ufg", root, out)
    labels = {sample.label for sample in load_manifest(out).samples}
    assert labels == {"Twin (0)", "Twin (1)"} | {f"Soy {number}, old" for number in range(2, 12)}
    assert len(load_manifest(out).split("train")) == 12


def test_ufg_release_lists(tmp_path, save, out):
    root = tmp_path / "cotton"
    for split in ("train", "test"):
        names = [f"leaf {number}_{split}.jpg" for number in range(1, 4)]
        for name in names:
            save(f"cotton/images/{name}", size=SIZE)
        write_lines(root / "anno" / f"{split}.txt", [f"{name} {number + 1}" for number, name in enumerate(names)])
    import_data("ufg", root, out)
    assert count_splits_and_labels(out) == {(split, label): 1 for label in "123" for split in ("train", "test")}


def test_malformed_ufg_sets_are_refused(tmp_path, save):
    root = tmp_path / "ufg"
    root.mkdir()
    assert_refused(root, "ufg", "no train.csv, which the ufg layout needs")
    write_ufg(root, save, header="dir,label")
    train, text = root / "train.csv", (root / "train.csv").read_text()
    train.write_text(text + "R1/leaf 03_test.png,3\n")
    assert_refused(root, "ufg", "name R1/leaf 03_test.png more than once")
    train.write_text(text + "R1/gone.png,3\n")
    assert_refused(root, "ufg", "no file .*gone.png")
    train.write_text(text + "../../out.png,3\n")
    assert_refused(root, "ufg", "outside the images")
    train.write_text(text + "R1/x.png,three\n")
    assert_refused(root, "ufg", "image 'R1/x.png' with class 'three'")
    train.write_text(text.replace("dir,label", "dir,kind"))
    assert_refused(root, "ufg", r"columns dir, kind, none for the class \(class_id, label\)")
    train.write_text(text)
    write_lines(root / "classid_classname.csv", ["class_id,class_name", "0,Zero"])
    assert_refused(root, "ufg", r"no name for class 1, 2, 3, \.\.\. \(11 in all\)")
    (root / "classid_classname.csv").unlink()
    for name in ("train", "test"):
        (root / f"{name}.csv").rename(root / f"a_{name}.csv")
        write_lines(root / f"b_{name}.csv", ["dir,label"])
    assert_refused(root, "ufg", r"several sets \(a_test.csv, b_test.csv\)")


@pytest.mark.parametrize("row", ["x" * 200_000 + ",1", "R1/a.png," + "9" * 5000, '"' + "x" * 200_000], ids=len)
def test_rows_without_bounds_are_refused_in_one_line(tmp_path, save, row):
    write_ufg(tmp_path / "ufg", save, header="dir,label")
    with (tmp_path / "ufg" / "train.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(DataError, match=r"train\.csv has") as caught:
        import_data("ufg", tmp_path / "ufg", tmp_path / "out.csv")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
