"""Folders and CSV files become samples; every structural mistake is a DataError with advice."""

from pathlib import Path

import pytest

from venation.data.manifest import evenly_spaced, load_manifest
from venation.errors import DataError


def keys(manifest):
    return [manifest.key(sample) for sample in manifest.samples]


def write_csv(root: Path, text: str) -> Path:
    path = root / "manifest.csv"
    path.write_text(text)
    return path


def test_images_and_masks_folders(leaves, save):
    save("extra/images/fir/1.png")
    (leaves / "images" / "ash" / ".hidden.png").write_bytes(b"x")
    (leaves / "images" / "ash" / "notes.txt").write_text("x")
    (leaves / "masks" / "oak" / "5.png").unlink()
    manifest = load_manifest(leaves)
    assert manifest.classes == ("ash", "elm", "oak")
    assert len(manifest.samples) == 18
    assert keys(manifest) == sorted(keys(manifest))
    first, last = manifest.samples[0], manifest.samples[-1]
    assert first.image == leaves / "images/ash/0.png" and first.mask == leaves / "masks/ash/0.png"
    assert first.group == manifest.key(first) == "images/ash/0.png"
    assert first.split is None and last.mask is None and manifest.has_masks
    assert manifest.label_index(first) == 0 and manifest.label_index(last) == 2


@pytest.mark.parametrize("base", ["", "images/"])
def test_split_folders_with_masks_by_split_or_class(save, tmp_path, base):
    for split in ("train", "val", "test"):
        for label in "ab":
            save(f"{base}{split}/{label}/{split}.jpg")
    save("masks/train/a/train.png")
    save("masks/b/val.png")
    manifest = load_manifest(tmp_path)
    masks = {manifest.key(sample): sample.mask for sample in manifest.samples if sample.mask}
    assert masks == {
        f"{base}train/a/train.jpg": tmp_path / "masks/train/a/train.png",
        f"{base}val/b/val.jpg": tmp_path / "masks/b/val.png",
    }
    assert [sample.split for sample in manifest.split("val")] == ["val", "val"]


def test_plain_class_folders(save, tmp_path):
    for name in ("a/1.PNG", "a/2.tif", "b/1.webp", "b/2.bmp", "masks/a/1.png"):
        save(name)
    manifest = load_manifest(tmp_path)
    assert keys(manifest) == ["a/1.PNG", "a/2.tif", "b/1.webp", "b/2.bmp"]
    assert not manifest.samples[1].mask and manifest.samples[0].mask


def test_labels_take_the_form_of_the_classes_that_they_match(save, tmp_path):
    for name in ("a\u0308/1.png", "ash /1.png", "elm/1.png"):
        save(name)
    manifest = load_manifest(tmp_path).relabelled(("\u00e4", "ash", "ELM"))
    assert manifest.classes == ("ash", "elm", "\u00e4")
    assert {sample.image.parent.name: sample.label for sample in manifest.samples} == {
        "a\u0308": "\u00e4",
        "ash ": "ash",
        "elm": "elm",
    }


def test_relative_path_becomes_absolute(leaves, monkeypatch):
    monkeypatch.chdir(leaves.parent)
    assert load_manifest(Path(leaves.name)) == load_manifest(leaves)


def test_csv_wins_over_folders_and_may_be_given_itself(leaves):
    text = (
        "\ufefflabel, image,mask,split,group\r\nx,images/ash/0.png,masks/ash/0.png,train,g\r\ny,images/oak/0.png,,,\r\n"
    )
    path = write_csv(leaves, text)
    manifest = load_manifest(leaves)
    assert manifest == load_manifest(path)
    first, second = manifest.samples
    assert (first.label, first.split, first.group, first.mask) == ("x", "train", "g", leaves / "masks/ash/0.png")
    assert (second.split, second.group, second.mask) == (None, "images/oak/0.png", None)


def test_missing_empty_and_imageless(tmp_path, save):
    with pytest.raises(DataError, match="does not exist: give"):
        load_manifest(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is an empty folder: put"):
        load_manifest(tmp_path / "empty")
    (tmp_path / "dull" / "images" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images: put"):
        load_manifest(tmp_path / "dull")
    with pytest.raises(DataError, match=r"not a \.csv: give"):
        load_manifest(save("x/a.png"))


def test_one_class_is_refused_for_training_only(tmp_path, save):
    save("images/a/1.png")
    with pytest.raises(DataError, match="one class .'a'.; training needs at least two: add another$"):
        load_manifest(tmp_path, for_training=True)
    assert load_manifest(tmp_path).classes == ("a",)


def test_a_csv_of_one_class_is_refused_for_training_only(leaves):
    path = write_csv(leaves, "image,label\nimages/ash/0.png,x\nimages/oak/0.png,x\n")
    with pytest.raises(DataError, match="one class .'x'."):
        load_manifest(path, for_training=True)
    assert [sample.label for sample in load_manifest(path).samples] == ["x", "x"]


def test_other_flaws_of_one_class_are_refused_without_training_too(tmp_path, save):
    for path in ("images/a/1.png", "images/2.png"):
        save(path)
    with pytest.raises(DataError, match="have no class: move"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("name", ["images", "train"])
def test_images_without_a_class(save, tmp_path, name):
    for path in (f"{name}/a/1.png", f"{name}/b/1.png", f"{name}/2.png"):
        save(path)
    with pytest.raises(DataError, match=f"1 images directly in {name}/ have no class: move"):
        load_manifest(tmp_path)


def test_mistaken_split_folder(save, tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "valid/a/2.png"):
        save(name)
    with pytest.raises(DataError, match="folder valid/ is not one of train, val, test: rename it to val/"):
        load_manifest(tmp_path)


def test_masks_that_belong_to_no_image(save, tmp_path):
    for name in ("images/a/1.png", "images/b/1.png", "masks/a/1_mask.png"):
        save(name)
    with pytest.raises(DataError, match="none of 1 files in masks/ is named after an image: name them"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label,colour\n", "unknown or repeated column 'colour': its columns are image, label"),
        ("image,label,label\n", "unknown or repeated column 'label'"),
        ("image,mask\n", "no column 'label'"),
        ("", "no column 'image'"),
        ("image,label\n", "holds no images"),
        ("image,label,split\nimages/ash/0.png,a,valid\n", "line 2 has split 'valid': use one of train, val, test"),
        ("image,label\n/etc/passwd,a\n", "line 2 names '/etc/passwd', and paths are relative to the CSV's folder"),
        ("image,label\n../x.png,a\n", "outside the CSV's folder"),
        ("image,label\nimages/../../x.png,a\n", "outside the CSV's folder"),
        ("image,label\nC:\\x.png,a\n", "and paths are relative to the CSV's folder"),
        ("image,label,mask\nimages/ash/0.png,a,../m.png\n", "outside the CSV's folder"),
        ("image,label,mask\nimages/ash/0.png,a,m.png\n", "line 2: no file m.png"),
        ("image,label\nimages/ash/0.png,\n", "line 2 lacks an image or a label"),
        ("image,label\nimages/ash/0.png,a,b\n", "more fields than columns"),
        ("image,label\nimages/ash/0.png,a\nimages/ash/0.png,b\n", "lists images/ash/0.png 2 times"),
    ],
)
def test_bad_csv(leaves, text, message):
    write_csv(leaves, text)
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        load_manifest(leaves)


def test_csv_that_is_not_text(leaves):
    (leaves / "manifest.csv").write_bytes(b"image,label\n\xff\xfe,a\n")
    with pytest.raises(DataError, match="not a UTF-8 CSV file"):
        load_manifest(leaves)


def test_missing_files_are_named_and_counted(leaves):
    write_csv(leaves, "image,label\n" + "".join(f"gone{n}.png,a\n" for n in range(7)))
    with pytest.raises(DataError, match=r"line 2: no file gone0.png; .*gone2.png; and 4 more \(7 in all\)$"):
        load_manifest(leaves)


def test_real_leaves(real_data):
    manifest = load_manifest(real_data("uci_leaf"))
    assert (len(manifest.classes), len(manifest.samples)) == (30, 340)
    assert all(sample.mask for sample in manifest.samples)


def test_real_vessels(real_data):
    manifest = load_manifest(real_data("hrf_vessels"))
    assert len(manifest.samples) == 120 and len({sample.group for sample in manifest.samples}) == 20
    assert manifest.classes == ("diabetic_retinopathy", "glaucoma", "healthy")


def test_mask_classes_are_numbered_as_in_a_bundle(leaves):
    table = leaves / "mask_classes.csv"
    plain = load_manifest(leaves)
    assert plain.with_mask_classes(()) is plain and plain.mask_class_names == ()
    with pytest.raises(DataError, match="masks without classes, but the bundle tells vein, lesion apart"):
        plain.with_mask_classes(("vein", "lesion"))
    table.write_text("value,name\n255,vein\n")
    assert load_manifest(leaves).mask_class_names == ()
    table.write_text("value,name\n1,lesion\n255,vein\n")
    several = load_manifest(leaves)
    assert several.mask_class_names == ("lesion", "vein") and several.with_mask_classes(()) is several
    turned = several.with_mask_classes(("vein", "rim", "lesion"))
    assert turned.mask_classes.names == ("vein", "rim", "lesion")
    assert all(sample.mask_classes is turned.mask_classes for sample in turned.samples)
    with pytest.raises(DataError, match=r"mask classes that the bundle does not have \(lesion\)"):
        several.with_mask_classes(("vein", "rim"))


def test_data_without_masks_take_any_mask_classes(save, tmp_path):
    for label in "ab":
        save(f"{label}/1.png")
    plain = load_manifest(tmp_path)
    assert plain.with_mask_classes(("vein", "lesion")) is plain


def test_unused_masks_are_visible_files_of_no_sample(leaves, save):
    (leaves / "images/oak/5.png").unlink()
    (leaves / "masks/oak/.hidden.png").write_bytes(b"x")
    used = load_manifest(leaves)
    assert used.unused_masks() == [leaves / "masks/oak/5.png"]


@pytest.mark.parametrize(
    ("number", "count", "expected"),
    [(10, 3, [0, 3, 6]), (10, 4, [0, 2, 4, 6]), (2, 5, [0, 1]), (0, 3, []), (9, 9, list(range(9)))],
)
def test_some_samples_are_evenly_spaced(number, count, expected):
    assert evenly_spaced(range(number), count) == expected


@pytest.mark.parametrize(("lines", "more"), [(3, ""), (4, "; and 1 more (4 in all)")])
def test_flaws_of_the_first_kind_are_joined_and_counted(leaves, lines, more):
    text = "image,label\nimages/ash/0.png,\n" + "".join(f"images/none{n}.png,ash\n" for n in range(2))
    write_csv(leaves, text + "images/ash/1.png,\n" * (lines - 1))
    with pytest.raises(DataError) as caught:
        load_manifest(leaves)
    bad = [2, *range(5, 4 + lines)][:3]
    assert str(caught.value) == "; ".join(f"line {n} lacks an image or a label: fill both" for n in bad) + more


def test_the_first_kind_of_flaw_counts_whatever_follows(leaves):
    write_csv(leaves, "image,label\nimages/none.png,ash\nimages/ash/0.png,\n")
    with pytest.raises(DataError, match=r"^line 2: no file images/none.png$"):
        load_manifest(leaves)


def test_a_split_has_its_own_samples_only(leaves):
    rows = "".join(f"images/ash/{n}.png,{'ab'[n % 2]},{split}\n" for n, split in enumerate(("test", "train", "val")))
    write_csv(leaves, "image,label,split\n" + rows)
    manifest = load_manifest(leaves)
    for n, split in enumerate(("test", "train", "val")):
        assert [manifest.key(sample) for sample in manifest.split(split)] == [f"images/ash/{n}.png"]
