"""Rules of all layouts: arguments, the target folder, links, duplicate names and failed writes."""

import csv
import os
import pickle

import pytest
from layout_helpers import SIZE, assert_refused, square_mask

from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.errors import DataError, UsageError


def test_bad_arguments_are_refused(cub, out):
    with pytest.raises(UsageError, match="'voc' is not a known layout: choose one of mganet, cub, nabirds, ufg, "):
        import_data("voc", cub, out)
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


def test_one_class_and_duplicate_names_are_refused(tmp_path, save):
    for number in range(3):
        save(f"set/train/{number}.png", size=SIZE)
        save(f"set/l2_mask/{number}.png", square_mask(number))
    (tmp_path / "set/test").mkdir()
    (tmp_path / "set/labels.pkl").write_bytes(pickle.dumps(dict.fromkeys(range(3), 1)))
    assert_refused(tmp_path / "set", "mganet", "has 3 images of 1 classes")
    for suffix in ("jpg", "png"):
        save(f"set/train/a.{suffix}", size=SIZE)
        save(f"set/l2_mask/a.{suffix}", square_mask(2))
    labels = {f"{number}.png": 1 for number in range(3)} | {"a.jpg": 2, "a.png": 2}
    (tmp_path / "set/labels.pkl").write_bytes(pickle.dumps(labels))
    assert_refused(tmp_path / "set", "mganet", "would become masks/train/a.png")


def test_a_failed_write_leaves_no_files(cub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="check permissions and free space"):
        import_data("cub", cub, tmp_path / "file" / "set")
