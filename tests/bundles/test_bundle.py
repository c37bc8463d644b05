"""Bundles on disk: folder and archive, the record and its hashes, and refused content."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_bundle import SmallBundle

from venation.bundles.bundle import load_record, open_bundle, open_verified, read_record, write_bundle, write_record
from venation.bundles.predict import predict_paths
from venation.bundles.record import IMAGES, RECORD, BundleRecord
from venation.errors import UserError


def zipped(bundle: Path, out: Path) -> Path:
    """The same bundle, written as an archive by the function that export uses."""

    def fill(folder: Path) -> None:
        shutil.copytree(bundle, folder, dirs_exist_ok=True)
        (folder / RECORD).unlink()

    return write_bundle(out, read_record(bundle), fill, lambda folder, record: None)


def test_a_folder_and_a_zip_have_the_same_content(small_bundle: SmallBundle, tmp_path: Path) -> None:
    archive = zipped(small_bundle.path, tmp_path / "tiny.zip")
    assert read_record(archive) == read_record(small_bundle.path)
    photos = [small_bundle.leaves / "images" / "cultivar_00"]
    from_folder = predict_paths(small_bundle.path, photos, tmp_path / "a")
    from_archive = predict_paths(archive, photos, tmp_path / "b")
    assert from_folder == from_archive and len(from_folder) == 6
    for mask in sorted((tmp_path / "a" / "masks").iterdir()):
        assert mask.read_bytes() == (tmp_path / "b" / "masks" / mask.name).read_bytes()


def test_an_archive_with_the_bundle_in_a_folder_is_read(small_bundle: SmallBundle, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "by-hand"), "zip", small_bundle.path.parent, small_bundle.path.name)
    assert read_record(Path(archive)) == read_record(small_bundle.path)


def test_the_record_has_config_classes_and_sources(small_bundle: SmallBundle) -> None:
    record = read_record(small_bundle.path)
    assert {(s.study, s.kind, s.trial) for s in record.sources} == {
        ("tiny", "classifier", 0),
        ("tiny-veins", "decoder", 0),
        ("tiny-boost", "booster", 0),
    }
    assert record.schema_version == 1
    assert record.classes == ("cultivar_00", "cultivar_01", "cultivar_02")
    # One config has the settings of all three kinds.
    assert record.config.encoder.name == "test_resnet" and record.config.data.size == 64
    assert record.config.decoder.kind == "unet" and record.config.boost.rounds == 5
    assert sum(record.images.values()) == 18 and record.images["test"] >= 3
    assert set(record.metrics) == {"val", "test"}
    for metric in ("accuracy", "macro_f1", "logloss", "iou", "dice", "head_accuracy", "accuracy_blanked"):
        score = record.metrics["test"][metric]
        assert score.low <= score.value <= score.high, metric
    assert len(record.data_fingerprint) == 64
    assert record.provenance["versions"].keys() >= {"venation", "torch", "timm", "xgboost"}


def test_the_record_has_the_hash_of_every_file_and_none_is_pickle(small_bundle: SmallBundle) -> None:
    files = {p.relative_to(small_bundle.path).as_posix(): p for p in small_bundle.path.rglob("*") if p.is_file()}
    recorded = read_record(small_bundle.path).files
    assert recorded.keys() == files.keys() - {RECORD}
    for name, digest in recorded.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
    assert recorded.keys() >= {"weights.safetensors", "booster.ubj", "model.onnx", "README.md", "samples/expected.json"}
    # A pickle of protocol 2 or later begins with 0x80; torch.save's files are zip archives.
    assert not [name for name, path in files.items() if path.read_bytes()[:1] == b"\x80" or zipfile.is_zipfile(path)]


def test_the_model_card_shows_the_sealed_scores(small_bundle: SmallBundle) -> None:
    card, record = (small_bundle.path / "README.md").read_text(), read_record(small_bundle.path)
    accuracy = record.metrics["test"]["accuracy"]
    assert f"| accuracy | {accuracy.value:.3f} | {accuracy.low:.3f} to {accuracy.high:.3f} |" in card
    assert f"{record.images['test']} images, scored once" in card
    assert all(name in card for name in ("`tiny`", "`tiny-veins`", "`tiny-boost`", *record.classes))


def fill_with(content: bytes) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(content)

    return fill


def test_writing_leaves_nothing_when_it_fails(small_bundle: SmallBundle, tmp_path: Path) -> None:
    record = read_record(small_bundle.path)

    def refuse(folder: Path, full: BundleRecord) -> None:
        raise UserError("it disagrees with itself")

    def full_disk(folder: Path) -> None:
        fill_with(b"half")(folder)
        raise OSError(28, os.strerror(28))

    with pytest.raises(UserError, match="disagrees"):
        write_bundle(tmp_path / "x.bundle", record, fill_with(b"whole"), refuse)
    with pytest.raises(UserError, match=r"No space left on device.*nothing was left there"):
        write_bundle(tmp_path / "x.bundle", record, full_disk, lambda folder, full: None)
    assert list(tmp_path.iterdir()) == []


def test_writing_never_replaces_an_existing_path(small_bundle: SmallBundle, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("mine")
    with pytest.raises(UserError, match="exists"):
        write_bundle(tmp_path / "x.zip", read_record(small_bundle.path), fill_with(b""), lambda folder, full: None)
    assert (tmp_path / "x.zip").read_text() == "mine"


@pytest.mark.parametrize("name", ["../escape.txt", "a/../../escape.txt", "/escape.txt", "..\\escape.txt", "C:/e.txt"])
def test_an_archive_cannot_write_outside_its_folder(small_bundle: SmallBundle, tmp_path: Path, name: str) -> None:
    archive = zipped(small_bundle.path, tmp_path / "evil.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(name, "evil")
    with pytest.raises(UserError, match="leads out of the bundle"), open_bundle(archive):
        pytest.fail("it was opened")
    assert not list(tmp_path.parent.rglob("escape.txt"))


def test_a_record_cannot_name_a_file_outside_its_folder(copied: Path) -> None:
    record = read_record(copied)
    evil = record.model_copy(update={"files": record.files | {"../tiny/secret": "0" * 64}})
    write_record(copied, evil)
    with pytest.raises(UserError, match=r"\.\./tiny/secret.*leads out"):
        load_record(copied)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff\xfe\x00garbage", b'{"schema_version": 99}', b"[" * 5000],
    ids=["empty", "no fields", "no text", "another schema", "deep"],
)
def test_an_invalid_record_is_refused_in_one_line(copied: Path, content: bytes) -> None:
    (copied / RECORD).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_record(copied)
    assert RECORD in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 2000


def test_a_record_of_one_class_is_refused(copied: Path) -> None:
    record = read_record(copied)
    write_record(copied, record.model_copy(update={"classes": ("only",)}))
    with pytest.raises(UserError, match="classes"):
        read_record(copied)


def test_the_record_has_the_hash_of_its_canonical_json(small_bundle: SmallBundle) -> None:
    fields = json.loads((small_bundle.path / RECORD).read_text())
    stored = fields.pop("record_sha256")
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert stored == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("field", ["classes", "metrics", "licence", "files", "record_sha256"])
def test_a_record_with_a_changed_field_is_refused(copied: Path, field: str) -> None:
    fields = json.loads((copied / RECORD).read_text())
    if field == "classes":
        fields["classes"].reverse()
    elif field == "metrics":
        fields["metrics"]["test"]["accuracy"]["value"] += 0.001
    elif field == "files":
        fields["files"].pop(IMAGES)
    elif field == "record_sha256":
        del fields["record_sha256"]
    else:
        fields[field] = "0"
    (copied / RECORD).write_text(json.dumps(fields))
    with pytest.raises(UserError, match=r"bundle\.json was changed"):
        load_record(copied)


def test_the_images_are_listed_by_part_and_by_the_hash_of_their_bytes(small_bundle: SmallBundle) -> None:
    known = json.loads((small_bundle.path / IMAGES).read_text())
    record = read_record(small_bundle.path)
    assert {part: len(hashes) for part, hashes in known.items()} == record.images
    files = (small_bundle.leaves / "images").rglob("*.png")
    assert sorted(sum(known.values(), [])) == sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def test_a_damaged_archive_is_refused_in_one_line(small_bundle: SmallBundle, tmp_path: Path) -> None:
    archive = zipped(small_bundle.path, tmp_path / "tiny.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        entry = file.getinfo("weights.safetensors")
    content[entry.header_offset + 1000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.safetensors") as caught, open_bundle(archive):
        pytest.fail("it was opened")
    assert "\n" not in str(caught.value)


def test_an_encrypted_archive_is_refused_in_one_line(small_bundle: SmallBundle, tmp_path: Path) -> None:
    archive = zipped(small_bundle.path, tmp_path / "tiny.zip")
    content = archive.read_bytes()
    # Bit 0 of the flags, in the local header of the first entry and in its entry of the central
    # directory.
    first, central = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    changed = bytearray(content)
    changed[first + 6] |= 1
    changed[central + 8] |= 1
    archive.write_bytes(changed)
    with pytest.raises(UserError, match="cannot be unpacked"), open_bundle(archive):
        pytest.fail("it was opened")


def test_a_path_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no bundle")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "nothing"):
        with pytest.raises(UserError, match="not a bundle"):
            read_record(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", ["a", "a", "b"]),
        ("classes", ["", "b"]),
        ("images", {"train": -1, "val": 1, "test": 1}),
        ("data_fingerprint", 7),
        ("provenance", {"versions": ["torch"]}),
        ("provenance", {"commit": 7}),
    ],
    ids=["duplicate class", "empty class", "negative count", "another type", "no versions", "no commit"],
)
def test_a_record_with_impossible_content_is_refused(copied: Path, field: str, value: object) -> None:
    fields = json.loads((copied / RECORD).read_text()) | {field: value}
    (copied / RECORD).write_text(json.dumps(fields))
    with pytest.raises(UserError, match=rf"bundle\.json is not understood by this version \({field}"):
        load_record(copied)


def test_metrics_of_a_part_without_images_are_refused(copied: Path) -> None:
    fields = json.loads((copied / RECORD).read_text())
    (copied / RECORD).write_text(json.dumps(fields | {"images": {}}))
    with pytest.raises(UserError, match="metrics have a part without images") as caught:
        load_record(copied)
    assert "\n" not in str(caught.value)


def test_the_message_of_many_damaged_files_is_short(copied: Path) -> None:
    for number in range(3000):
        (copied / f"{number}.txt").touch()
    with pytest.raises(UserError, match="and 2995 more") as caught, open_verified(copied):
        pytest.fail("it was opened")
    assert len(str(caught.value)) < 600
