"""The check reports every kind of problem with code, path and level, and never fails itself."""

import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venation.data.check import check_data, printable
from venation.errors import DataError


def rows(path: Path, **options):
    return {(row.level, row.code, row.path) for row in check_data(path, **options)}


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a size but has no pixels."""
    header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    chunks = [header, b"IDAT" + zlib.compress(b""), b"IEND"]
    framed = [(len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_a_sound_set_has_no_findings(leaves):
    assert check_data(leaves) == []


def test_a_missing_or_empty_folder_raises(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        check_data(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty folder"):
        check_data(tmp_path / "empty")


def test_structural_flaws_become_findings(leaves, save):
    save("images/loose.png")
    assert ("error", "no-class", "images") in rows(leaves)
    (leaves / "manifest.csv").write_text("image,label\ngone.png,a\nimages/ash/0.png,b\n../x.png,c\n")
    assert rows(leaves) >= {("error", "missing-file", "gone.png"), ("error", "outside", "line 4")}


def test_no_images_is_a_finding(tmp_path):
    (tmp_path / "images").mkdir()
    assert rows(tmp_path) == {("error", "no-images", ".")}


def test_a_single_class_is_a_finding(leaves):
    for label in ("ash", "elm"):
        for part in ("images", "masks"):
            shutil.rmtree(leaves / part / label)
    (finding,) = check_data(leaves)
    assert (finding.level, finding.code, finding.path) == ("error", "one-class", ".")
    assert finding.message == f"{leaves} holds one class ('oak'); training needs at least two: add another"


def test_truncated_unreadable_and_empty_files(leaves, save):
    for name in ("images/ash/0.png", "masks/ash/1.png"):
        (leaves / name).write_bytes((leaves / name).read_bytes()[:60])
    cut = save("images/ash/cut.jpg", size=(64, 64))
    cut.write_bytes(cut.read_bytes()[:900])
    (leaves / "images/elm/0.png").write_bytes(b"no picture at all")
    (leaves / "images/elm/1.png").write_bytes(b"")
    (leaves / "masks/elm/2.png").write_bytes(b"")
    assert rows(leaves) == {
        ("error", "unreadable", "images/ash/0.png"),
        ("error", "unreadable", "masks/ash/1.png"),
        ("error", "unreadable", "images/ash/cut.jpg"),
        ("warning", "missing-mask", "images/ash/cut.jpg"),
        ("error", "unreadable", "images/elm/0.png"),
        ("error", "zero-byte", "images/elm/1.png"),
        ("error", "zero-byte", "masks/elm/2.png"),
    }


def test_missing_extra_and_shared_masks(leaves, save):
    (leaves / "masks/ash/0.png").rename(leaves / "masks/ash/zero.png")
    save("images/elm/3.jpg")
    assert rows(leaves) == {
        ("warning", "missing-mask", "images/ash/0.png"),
        ("warning", "extra-mask", "masks/ash/zero.png"),
        ("error", "shared-mask", "images/elm/3.jpg"),
        ("error", "shared-mask", "images/elm/3.png"),
    }


def test_contents_of_masks(leaves, save):
    save("masks/ash/0.png", np.zeros((10, 12), np.uint8))
    save("masks/ash/1.png", np.full((10, 12), 255, np.uint8))
    save("masks/ash/2.png", np.ones((12, 10), np.uint8))
    save("masks/ash/3.png", np.arange(120, dtype=np.uint8).reshape(10, 12))
    (leaves / "masks/ash/4.png").unlink()
    blob = np.zeros((10, 12), np.uint8)
    blob[3:8, 5:9] = 255
    save("masks/ash/4.jpg", blob)
    assert rows(leaves) == {
        ("warning", "empty-mask", "masks/ash/0.png"),
        ("warning", "full-mask", "masks/ash/1.png"),
        ("error", "size-mismatch", "masks/ash/2.png"),
        ("warning", "full-mask", "masks/ash/2.png"),
        ("warning", "mask-values", "masks/ash/3.png"),
        ("error", "mask-values", "masks/ash/4.jpg"),
    }


def test_exif_orientations_that_differ(leaves, save):
    exif = Image.Exif()
    exif[0x0112] = 6
    save("images/ash/0.png", exif=exif)
    exif[0x0112] = 3
    save("images/ash/1.png", exif=exif)
    assert rows(leaves) == {
        ("error", "size-mismatch", "masks/ash/0.png"),
        ("warning", "exif-turned", "masks/ash/1.png"),
    }


def test_small_classes(leaves):
    for label, left in (("ash", 2), ("elm", 3)):
        for number in range(left, 6):
            (leaves / f"images/{label}/{number}.png").unlink()
            (leaves / f"masks/{label}/{number}.png").unlink()
    assert rows(leaves) == {("error", "few-images", "ash"), ("warning", "few-images", "elm")}
    assert rows(leaves, min_images=3) == {("error", "few-images", "ash")}
    assert ("warning", "few-images", "oak") in rows(leaves, min_images=7)


def test_same_picture_by_pixels(save, tmp_path):
    for split in ("train", "test"):
        for label in "ab":
            for number in range(4):
                save(f"{split}/{label}/{number}.png")
    Image.open(tmp_path / "train/a/0.png").save(tmp_path / "test/a/again.bmp")
    Image.open(tmp_path / "train/a/1.png").save(tmp_path / "train/b/again.png")
    Image.open(tmp_path / "train/a/2.png").save(tmp_path / "train/a/again.png", compress_level=1)
    found = {row.path: row for row in check_data(tmp_path)}
    assert {path: (row.level, row.code) for path, row in found.items()} == {
        "test/a/again.bmp": ("error", "split-duplicate"),
        "train/b/again.png": ("error", "label-duplicate"),
        "train/a/again.png": ("warning", "duplicate"),
    }
    assert "the same picture as train/a/0.png, in test and train" in found["test/a/again.bmp"].message


def test_groups_and_classes_against_given_splits(leaves):
    lines = [f"images/{label}/{n}.png,{label},g{label}{n},train" for label in ("ash", "elm") for n in range(5)]
    lines += ["images/ash/5.png,ash,gash4,test"] + [f"images/oak/{n}.png,oak,goak{n},test" for n in range(5)]
    (leaves / "manifest.csv").write_text("image,label,group,split\n" + "\n".join(lines))
    assert rows(leaves) == {("error", "split-group", "gash4"), ("error", "not-trained", "oak")}


def test_files_that_are_not_read(leaves, save):
    (leaves / "images/.DS_Store").write_bytes(b"x")
    (leaves / "images/ash/Thumbs.db").write_bytes(b"x")
    (leaves / "images/fir").mkdir()
    (leaves / "images/ash/7.png").symlink_to("nowhere.png")
    os.mkfifo(leaves / "images/ash/8.png")
    save("images/ash/deep/1.png")
    assert rows(leaves) == {
        ("warning", "hidden", "images/.DS_Store"),
        ("warning", "not-an-image", "images/ash/Thumbs.db"),
        ("warning", "empty-folder", "images/fir"),
        ("error", "broken-link", "images/ash/7.png"),
        ("warning", "not-a-file", "images/ash/8.png"),
        ("warning", "not-read", "images/ash/deep/1.png"),
    }


def test_names_that_differ_by_case(leaves, save):
    if (leaves / "images/ASH").exists():
        pytest.skip("this file system does not tell case apart")
    save("images/oak/a.png")
    save("images/oak/A.png")
    for number in range(4):
        save(f"images/Elm/new{number}.png")
    found = {row for row in rows(leaves) if row[1] == "case"}
    assert found == {("error", "case", "Elm"), ("warning", "case", "images/oak/A.png")}


@pytest.mark.parametrize(("side", "level"), [(10_000, "warning"), (60_000, "error")])
def test_bombs_are_not_decoded(leaves, side, level):
    (leaves / "images/ash/0.png").write_bytes(png_header(side, side))
    assert rows(leaves) == {(level, "bomb", "images/ash/0.png")}


def test_names_that_are_not_unicode(leaves):
    name = os.fsencode(leaves / "images" / "ash") + b"/\xff.png"
    try:
        with open(name, "wb") as file:
            file.write(b"")
    except OSError:
        pytest.skip("this file system refuses such names")
    assert ("error", "zero-byte", "images/ash/\\udcff.png") in rows(leaves)
    assert printable("a\udcff") == "a\\udcff"


@pytest.mark.parametrize("seed", range(4))
def test_no_damaged_file_makes_the_check_fail(save, tmp_path, seed):
    random = np.random.default_rng(seed)
    for number in range(40):
        extension = ("png", "jpg", "tif", "bmp", "webp")[number % 5]
        for folder in ("images", "masks"):
            extension = "gif" if folder == "masks" and number % 6 == 0 else extension
            path = save(f"{folder}/{'ab'[number % 2]}/{number}.{extension}", size=(24, 20))
            content = bytearray(path.read_bytes()[: random.integers(1, 3000)])
            for place in random.integers(0, len(content), 6):
                content[place] = random.integers(0, 256)
            path.write_bytes(content)
    found = check_data(tmp_path)
    assert found and all(row.level in ("error", "warning") and row.message for row in found)


@pytest.mark.parametrize("name", ["uci_leaf", "hrf_vessels"])
def test_real_sets_are_free_of_errors(real_data, name):
    assert [row for row in check_data(real_data(name)) if row.level == "error"] == []
