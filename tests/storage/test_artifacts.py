"""Artifacts: atomic writes, records that Optuna and the dashboard read, damage and full disks."""

import errno
import hashlib
import io
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import optuna
import pytest
from disks import mounted
from optuna.artifacts import download_artifact, get_all_artifact_meta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound

from venation.errors import UserError
from venation.storage import artifacts
from venation.storage.store_protocol import StoreFailed


@pytest.fixture
def store(tmp_path: Path) -> artifacts.Artifacts:
    return artifacts.open_artifacts(str(tmp_path / "store"))


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "confusion.png"
    path.write_bytes(os.urandom(3_000_000))
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=4) as folder:
        yield folder


class FullStore:
    """A store on a full disk: writes fail half-way with ENOSPC."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        raise ArtifactNotFound(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        content_body.read(10)
        raise OSError(errno.ENOSPC, "No space left on device")

    def remove(self, artifact_id: str) -> None:
        raise ArtifactNotFound(artifact_id)


def leftovers(store: artifacts.Artifacts) -> list[str]:
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file())


def test_a_stored_file_is_read_back_and_optuna_reads_its_record(
    store: artifacts.Artifacts, study: optuna.Study, picture: Path, tmp_path: Path
) -> None:
    trial = study.ask()
    artifact_id = artifacts.put_file(store, trial, picture)
    (meta,) = get_all_artifact_meta(trial)
    assert (meta.artifact_id, meta.filename, meta.mimetype) == (artifact_id, "confusion.png", "image/png")
    download_artifact(artifact_store=store, artifact_id=artifact_id, file_path=str(tmp_path / "by_optuna"))
    assert (tmp_path / "by_optuna").read_bytes() == picture.read_bytes()
    frozen = study.trials[0]
    (listed,) = artifacts.list_files(frozen, storage=study._storage)
    assert listed.sha256 == hashlib.sha256(picture.read_bytes()).hexdigest()
    (tmp_path / "out").mkdir()
    found = artifacts.get_file(store, frozen, "confusion.png", to=tmp_path / "out", storage=study._storage)
    assert found == tmp_path / "out" / "confusion.png" and found.read_bytes() == picture.read_bytes()


def test_the_record_has_the_form_that_optuna_writes(
    store: artifacts.Artifacts, study: optuna.Study, picture: Path
) -> None:
    upload_artifact(artifact_store=store, file_path=str(picture), study_or_trial=study)
    artifacts.put_file(store, study, picture)
    theirs, ours = (json.loads(value) for value in study._storage.get_study_system_attrs(study._study_id).values())
    assert {key: ours[key] for key in theirs if key != "artifact_id"} == {
        key: theirs[key] for key in theirs if key != "artifact_id"
    }
    assert set(ours) - set(theirs) == {"sha256", "uploaded"}


def test_the_dashboard_lists_and_serves_a_stored_file(
    store: artifacts.Artifacts, study: optuna.Study, picture: Path
) -> None:
    import optuna_dashboard

    trial = study.ask()
    artifact_id = artifacts.put_file(store, trial, picture)
    study.tell(trial, 1.0)
    application = optuna_dashboard.wsgi(study._storage, artifact_store=store)
    started: list[str] = []

    def get(path: str) -> bytes:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80"}
        environ |= {"wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http"}
        return b"".join(application(environ, lambda status, *_: started.append(status)))

    shown = json.loads(get(f"/api/studies/{study._study_id}"))["trials"][0]["artifacts"]
    assert [(entry["artifact_id"], entry["filename"]) for entry in shown] == [(artifact_id, "confusion.png")]
    served = get(f"/artifacts/{study._study_id}/{trial._trial_id}/{artifact_id}")
    assert served == picture.read_bytes()
    assert started == ["200 OK", "200 OK"]


def test_the_newest_file_of_a_name_is_valid_and_equal_bytes_are_stored_once(
    store: artifacts.Artifacts, study: optuna.Study, tmp_path: Path
) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("1")
    first = artifacts.put_file(store, study, path)
    assert artifacts.put_file(store, study, path) == first
    path.write_text("2")
    second = artifacts.put_file(store, study, path, name="metrics.json")
    assert [file.artifact_id for file in artifacts.list_files(study)] == [second]
    assert artifacts.get_file(store, study, "metrics.json", to=tmp_path / "back").read_text() == "2"
    assert leftovers(store) == sorted([first, second])


def test_bytes_are_stored_before_the_record(study: optuna.Study, picture: Path) -> None:
    trial = study.ask()
    with pytest.raises(UserError, match="No space left on device; free space") as caught:
        artifacts.put_file(FullStore(), trial, picture)
    assert "\n" not in str(caught.value)
    assert get_all_artifact_meta(trial) == []


def test_a_full_disk_leaves_no_partial_file_and_keeps_the_old_bytes(
    store: artifacts.Artifacts, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = picture.with_name("small")
    small.write_bytes(b"old")
    artifacts.write_blob(store, "resume-1", small)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device; free space.*--artifacts"), picture.open("rb") as body:
        store.write("resume-1", body)
    assert leftovers(store) == ["resume-1"]
    assert (store.folder / "resume-1").read_bytes() == b"old"


def test_a_file_over_the_size_limit_leaves_no_partial_file(
    store: artifacts.Artifacts, study: optuna.Study, picture: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"old")
    artifacts.write_blob(store, "resume-1", small)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StoreFailed, match="File too large; free space"):
            artifacts.put_file(store, study, picture)
        with pytest.raises(StoreFailed, match="File too large; free space"), picture.open("rb") as body:
            store.write("resume-1", body)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert leftovers(store) == ["resume-1"] and (store.folder / "resume-1").read_bytes() == b"old"
    assert artifacts.list_files(study) == []


def test_a_real_full_disk_stores_files_again_once_there_is_room(
    study: optuna.Study, picture: Path, small_disk: Path
) -> None:
    store = artifacts.open_artifacts(str(small_disk / "store"))
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with pytest.raises(StoreFailed, match="No space left on device; free space"):
        artifacts.put_file(store, study, picture)
    assert artifacts.list_files(study) == [] and leftovers(store) == []
    ballast.unlink()
    artifacts.put_file(store, study, picture)
    assert artifacts.get_file(store, study, picture.name, to=picture.with_name("back")).stat().st_size == 3_000_000


@pytest.mark.parametrize(
    ("damage", "message"),
    [(lambda path: path.write_bytes(b"x" * 10), "damaged"), (lambda path: path.unlink(), "not in the artifact store")],
)
def test_reading_a_damaged_file_raises_and_writes_no_file(
    store: artifacts.Artifacts, study: optuna.Study, picture: Path, damage: Callable[[Path], object], message: str
) -> None:
    artifact_id = artifacts.put_file(store, study, picture)
    damage(store.folder / artifact_id)
    target = picture.with_name("copy")
    with pytest.raises(UserError, match=f"{artifact_id}.*{message}"):
        artifacts.get_file(store, study, "confusion.png", to=target)
    assert not target.exists()
    assert not list(target.parent.glob(".copy*"))


def test_an_unknown_name_lists_the_known_ones(store: artifacts.Artifacts, study: optuna.Study, picture: Path) -> None:
    artifacts.put_file(store, study, picture)
    with pytest.raises(UserError, match="no file weights here; there are: confusion.png"):
        artifacts.get_file(store, study, "weights", to=picture.with_name("x"))


def test_a_recorded_name_cannot_leave_the_folder(
    store: artifacts.Artifacts, study: optuna.Study, picture: Path, tmp_path: Path
) -> None:
    artifacts.put_file(store, study, picture, name="../../evil")
    inside = tmp_path / "inside"
    inside.mkdir()
    assert artifacts.get_file(store, study, "../../evil", to=inside) == inside / "evil"


def test_blobs_are_replaced_read_and_removed(store: artifacts.Artifacts, tmp_path: Path) -> None:
    path, back = tmp_path / "state", tmp_path / "back"
    assert artifacts.read_blob(store, "resume-7", back) is False and not back.exists()
    for content in (b"one", b"two"):
        path.write_bytes(content)
        artifacts.write_blob(store, "resume-7", path)
        assert artifacts.read_blob(store, "resume-7", back) is True
        assert back.read_bytes() == content
    assert artifacts.remove_blob(store, "resume-7") is True
    assert artifacts.remove_blob(store, "resume-7") is False
    with pytest.raises(ArtifactNotFound):
        store.remove("resume-7")


@pytest.mark.parametrize("artifact_id", ["../x", "/etc/passwd", "a/b", "", ".partial", "a\0b", "x" * 129, "a\n"])
def test_malformed_artifact_ids_are_refused(store: artifacts.Artifacts, artifact_id: str) -> None:
    for use in (store.open_reader, store.remove, lambda bad: store.write(bad, io.BytesIO(b""))):
        with pytest.raises(UserError, match="no artifact id"):
            use(artifact_id)
    assert leftovers(store) == []


def test_sweep_deletes_partial_files_of_killed_writers_after_a_day(store: artifacts.Artifacts) -> None:
    partial = store.folder / ".partial"
    partial.mkdir()
    for name, age_s in (("old", 90_000), ("fresh", 60)):
        (partial / name).write_bytes(b"half")
        os.utime(partial / name, (time.time() - age_s,) * 2)
    artifacts.open_artifacts(str(store.folder))
    assert leftovers(store) == ["fresh"]


def test_the_option_precedes_the_variable_and_the_home(
    tmp_path: Path, venation_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert artifacts.open_artifacts(None).folder == venation_home / "artifacts"
    monkeypatch.setenv("VENATION_ARTIFACTS", (tmp_path / "by variable").as_uri())
    assert artifacts.open_artifacts(None).folder == tmp_path / "by variable"
    assert artifacts.open_artifacts(str(tmp_path / "by option")).folder == tmp_path / "by option"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("file://otherhost/x", "file://otherhost"),
        ("https://me:secret@h/x", "https:"),
        ("s3://", "s3://"),
        ("s3:///x", "s3://"),
        ("gs://me:secret@bucket/x", "gs://bucket"),
        ("s3://bucket/x?region=y", "s3://bucket"),
    ],
)
def test_other_urls_are_refused_with_the_supported_forms(url: str, shown: str) -> None:
    forms = "; give a folder, as a path or as file:///PATH, or a bucket: s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
    with pytest.raises(UserError) as caught:
        artifacts.open_artifacts(url)
    assert str(caught.value) == f"artifacts cannot be kept at {shown}{forms}"


def test_a_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot keep artifacts in .*file.*--artifacts"):
        artifacts.open_artifacts(str(tmp_path / "file"))


def test_a_blob_from_another_file_system_is_copied(
    store: artifacts.Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cross_device(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", cross_device)
    path, back = tmp_path / "state", tmp_path / "back"
    path.write_bytes(b"far")
    artifacts.write_blob(store, "resume-8", path)
    assert artifacts.read_blob(store, "resume-8", back) and back.read_bytes() == b"far"
    assert leftovers(store) == ["resume-8"]


def test_a_blob_that_does_not_fit_leaves_the_old_one(
    store: artifacts.Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, back = tmp_path / "state", tmp_path / "back"
    path.write_bytes(b"old")
    artifacts.write_blob(store, "resume-9", path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match="No space left on device; free space"):
        artifacts.write_blob(store, "resume-9", path)
    assert artifacts.read_blob(store, "resume-9", back) and back.read_bytes() == b"old"
    assert leftovers(store) == ["resume-9"]
