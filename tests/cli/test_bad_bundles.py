"""Bundles, pictures and folders that are not as they should be: one line, the right exit code, nothing half-written."""

import json
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
def files_no_larger_than(size: int) -> Iterator[None]:
    """Writing beyond ``size`` bytes fails, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_no_room_for_the_bundle(small_bundle: SmallBundle, tmp_path: Path, form: str) -> None:
    size = {path.name: path.stat().st_size for path in small_bundle.path.iterdir() if path.is_file()}
    assert size["model.onnx"] > size["weights.safetensors"] + 100_000
    # In the folder the ONNX file does not fit; for the archive every file does, and their sum does not.
    out, limit = {
        "folder": ("x.bundle", size["weights.safetensors"] + 50_000),
        "archive": ("x.zip", size["model.onnx"] + 200_000),
    }[form]
    with files_no_larger_than(limit):
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


def test_an_export_replaces_nothing(small_bundle: SmallBundle, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refuse(EXPECTED_FAILURE, "bundle", "export", "tiny", "-o", tmp_path / "mine", says=("exists", "-o"))
    assert tree(tmp_path) == {"mine"}


def predict_and_check_refuse(bundle: Path, tmp_path: Path, *says: str) -> None:
    out = tmp_path / "out"
    before = tree(tmp_path)
    refuse(EXPECTED_FAILURE, "bundle", "check", bundle, says=says)
    refuse(EXPECTED_FAILURE, "predict", bundle, bundle, "-o", out, says=says)
    refuse(EXPECTED_FAILURE, "evaluate", bundle, bundle, says=says)
    assert tree(tmp_path) == before


def test_a_bundle_with_a_changed_byte(copied: Path, tmp_path: Path) -> None:
    content = bytearray((copied / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "weights.safetensors").write_bytes(content)
    predict_and_check_refuse(copied, tmp_path, "weights.safetensors was changed")


def test_a_bundle_whose_record_was_changed(copied: Path, tmp_path: Path) -> None:
    content = (copied / "bundle.json").read_bytes()
    assert content.count(b'"accuracy": {') >= 1
    (copied / "bundle.json").write_bytes(content.replace(b'"accuracy": {', b'"accurbcy": {', 1))
    predict_and_check_refuse(copied, tmp_path, "bundle.json was changed")


def test_a_bundle_with_a_missing_file(copied: Path, tmp_path: Path) -> None:
    (copied / "booster.ubj").unlink()
    predict_and_check_refuse(copied, tmp_path, "booster.ubj is missing")


def test_a_bundle_with_a_link(copied: Path, tmp_path: Path) -> None:
    (copied / "samples" / "extra.png").symlink_to("/etc/hostname")
    predict_and_check_refuse(copied, tmp_path, "extra.png", "is a link")


def test_an_archive_that_leads_out(copied: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "evil"), "zip", copied))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../../escaped", "evil")
    predict_and_check_refuse(archive, tmp_path, "../../escaped", "leads out of the bundle")
    assert not list(tmp_path.parent.rglob("escaped"))


def test_paths_that_hold_no_images(small_bundle: SmallBundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    for name, word in {
        "nothing": "does not exist",
        "empty": "has no images",
        "notes.txt": "cannot be decoded",
    }.items():
        refuse(BAD_DATA, "predict", small_bundle.path, tmp_path / name, "-o", tmp_path / "out", says=(name, word))
    assert tree(tmp_path) == {"empty", "notes.txt"}


def test_one_bad_image_among_good_ones(small_bundle: SmallBundle, tmp_path: Path) -> None:
    photos = Path(shutil.copytree(small_bundle.leaves / "images" / "cultivar_00", tmp_path / "photos"))
    (photos / "bad.png").write_bytes(b"garbage")
    found = venation("predict", small_bundle.path, photos, "-o", tmp_path / "out", "--json")
    assert found.exit_code == BAD_DATA and "1 of 7 images" in found.stderr and "bad.png" in found.stderr
    assert len(json.loads(found.stdout)) == 6
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 7


def test_two_forms_of_output_at_once(small_bundle: SmallBundle, tmp_path: Path) -> None:
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


# Folders of others


def test_a_demo_does_not_touch_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refuse(EXPECTED_FAILURE, "demo", "--out", tmp_path, says=("not empty", "--out"))
    assert tree(tmp_path) == {"thesis.tex"}


def test_leaves_are_not_drawn_over_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refuse(BAD_DATA, "data", "synth", tmp_path, says=("not an empty folder",))
    refuse(MISUSE, "data", "synth", tmp_path / "new", "--classes", 1, says=("classes is 1",))
    assert tree(tmp_path) == {"thesis.tex"}


# The real thing: another process, its exit code and its stderr


def test_a_process_ends_with_the_code_and_the_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "venation.cli", "data", "check", str(tmp_path / "nothing")]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (BAD_DATA, "")
    assert found.stderr.startswith("Error: ") and found.stderr.count("\n") == 1
