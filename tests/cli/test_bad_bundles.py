"""Unusable bundles, images and folders: a one-line error, its exit code, and no partial output."""

import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_bundle import BAD_DATA, EXPECTED_FAILURE, MISUSE, SmallBundle, refuse, tree, venation


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Make writes beyond ``size`` bytes fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_an_export_to_a_full_disk_leaves_no_file(small_bundle: SmallBundle, tmp_path: Path, form: str) -> None:
    size = {path.name: path.stat().st_size for path in small_bundle.path.iterdir() if path.is_file()}
    assert size["model.onnx"] > size["weights.safetensors"] + 100_000
    # The folder has no room for the ONNX file; the archive has room for each file, not for all.
    out, limit = {
        "folder": ("x.bundle", size["weights.safetensors"] + 50_000),
        "archive": ("x.zip", size["model.onnx"] + 200_000),
    }[form]
    with limit_file_size(limit):
        refuse(
            EXPECTED_FAILURE,
            "bundle",
            "export",
            "tiny-veins",
            "tiny-boost",
            "-o",
            tmp_path / out,
            says=(out, "make room"),
        )
    assert tree(tmp_path) == set()


def test_an_export_replaces_no_existing_folder(small_bundle: SmallBundle, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refuse(EXPECTED_FAILURE, "bundle", "export", "tiny", "-o", tmp_path / "mine", says=("exists", "-o"))
    assert tree(tmp_path) == {"mine"}


def assert_bundle_is_refused(bundle: Path, tmp_path: Path, *says: str) -> None:
    out = tmp_path / "out"
    before = tree(tmp_path)
    refuse(EXPECTED_FAILURE, "bundle", "check", bundle, says=says)
    refuse(EXPECTED_FAILURE, "predict", bundle, bundle, "-o", out, says=says)
    refuse(EXPECTED_FAILURE, "evaluate", bundle, bundle, says=says)
    assert tree(tmp_path) == before


def test_a_bundle_with_a_changed_byte_is_refused(copied: Path, tmp_path: Path) -> None:
    content = bytearray((copied / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "weights.safetensors").write_bytes(content)
    assert_bundle_is_refused(copied, tmp_path, "weights.safetensors was changed")


def test_a_bundle_with_a_changed_record_is_refused(copied: Path, tmp_path: Path) -> None:
    content = (copied / "bundle.json").read_bytes()
    assert content.count(b'"accuracy": {') >= 1
    (copied / "bundle.json").write_bytes(content.replace(b'"accuracy": {', b'"accurbcy": {', 1))
    assert_bundle_is_refused(copied, tmp_path, "bundle.json was changed")


def test_a_bundle_with_a_missing_file_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / "booster.ubj").unlink()
    assert_bundle_is_refused(copied, tmp_path, "booster.ubj is missing")


def test_a_bundle_with_a_link_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / "samples" / "extra.png").symlink_to("/etc/hostname")
    assert_bundle_is_refused(copied, tmp_path, "extra.png", "is a link")


def test_an_archive_with_a_path_outside_the_bundle_is_refused(copied: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "evil"), "zip", copied))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../../escaped", "evil")
    assert_bundle_is_refused(archive, tmp_path, "../../escaped", "leads out of the bundle")
    assert not list(tmp_path.parent.rglob("escaped"))


def test_paths_without_images_are_refused(small_bundle: SmallBundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    for name, word in {
        "nothing": "does not exist",
        "empty": "has no images",
        "notes.txt": "cannot be decoded",
    }.items():
        refuse(BAD_DATA, "predict", small_bundle.path, tmp_path / name, "-o", tmp_path / "out", says=(name, word))
    assert tree(tmp_path) == {"empty", "notes.txt"}


def test_an_unreadable_image_does_not_stop_the_others(small_bundle: SmallBundle, tmp_path: Path) -> None:
    photos = Path(shutil.copytree(small_bundle.leaves / "images" / "cultivar_00", tmp_path / "photos"))
    (photos / "bad.png").write_bytes(b"garbage")
    found = venation("predict", small_bundle.path, photos, "-o", tmp_path / "out", "--json")
    assert found.exit_code == BAD_DATA and "1 of 7 images" in found.stderr and "bad.png" in found.stderr
    assert len(found.stdout.splitlines()) == 6
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_names_that_are_no_text_lose_no_row(small_bundle: SmallBundle, tmp_path: Path, form: str) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (source,) = [*(small_bundle.leaves / "images" / "cultivar_00").iterdir()][:1]
    for name in (b"\xff.png", b"\x1b[31m.png", b"=1+1.png", b"plain.png"):
        shutil.copy(source, os.fsencode(photos) + b"/" + name)
    found = venation("predict", small_bundle.path, photos, "-o", tmp_path / "out", form)
    assert found.exit_code == 0
    table = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8")
    assert len(table.splitlines()) == 5 and "\x1b" not in table and r"\xff.png" in table
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 4


def test_csv_and_json_together_are_refused(small_bundle: SmallBundle, tmp_path: Path) -> None:
    refuse(
        MISUSE,
        "predict",
        small_bundle.path,
        small_bundle.leaves,
        "-o",
        tmp_path / "out",
        "--csv",
        "--json",
        says=("--csv",),
    )
    assert tree(tmp_path) == set()


# Folders with other files


def test_demo_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refuse(EXPECTED_FAILURE, "demo", "--out", tmp_path, says=("not empty", "--out"))
    assert tree(tmp_path) == {"thesis.tex"}


def test_data_synth_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refuse(BAD_DATA, "data", "synth", tmp_path, says=("not an empty folder",))
    refuse(MISUSE, "data", "synth", tmp_path / "new", "--classes", 1, says=("classes is 1",))
    assert tree(tmp_path) == {"thesis.tex"}


# A real process: exit code and stderr


def test_a_process_exits_with_the_code_and_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "venation.cli", "data", "check", str(tmp_path / "nothing")]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (BAD_DATA, "")
    assert found.stderr.startswith("Error: ") and found.stderr.count("\n") == 1
