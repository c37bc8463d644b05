"""Workers with a bucket or a temporarily full disk lose no file and write no half file."""

import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import mounted
from moto.server import ThreadedMotoServer
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from study_helpers import StudyHarness, WorkerProcess

from venation.bundles.record import WEIGHTS
from venation.errors import DataError, UserError
from venation.leases.budget import count_states
from venation.leases.failures import classify_error
from venation.leases.history import attempts
from venation.leases.suspension import check_suspended, resume_study
from venation.storage.artifacts import StoreFailed, list_files, open_artifacts
from venation.storage.folder import FolderStore
from venation.upkeep.gc import collect_garbage
from venation.upkeep.orphans import verify_store


@pytest.fixture
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FolderStore]:
    """A store on a disk of 24 MB."""
    with mounted(tmp_path / "disk", megabytes=24) as disk:
        (disk / "store").mkdir()
        yield FolderStore(disk / "store")


def fill(ballast: Path) -> None:
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def test_a_trial_on_a_full_disk_is_retried_and_ends_once(
    harness: StudyHarness, artifacts: FolderStore, start_worker: Callable[..., WorkerProcess]
) -> None:
    handle = harness.create(trials=2, heartbeat=0.2, settings={"train.epochs": 2})
    ballast = artifacts.folder.parent / "ballast"
    fill(ballast)
    before = {entry.artifact_id for entry in artifacts.entries()}
    worker = start_worker("soy", "--until-idle")
    worker.wait_until(lambda: any(one.get("end") == "infrastructure" for one in attempts(handle.study.trials[0])))
    trials = handle.study.trials
    assert all(trial.state in (TrialState.WAITING, TrialState.RUNNING) for trial in trials)
    assert {entry.artifact_id for entry in artifacts.entries()} == before
    ballast.unlink()
    assert worker.wait() == 0, worker.log.read_text()
    assert [trial.state for trial in handle.study.trials] == [TrialState.COMPLETE] * 2
    found = verify_store(harness.storage, artifacts, min_age_s=None)
    assert found.sound and found.orphans == [] and len(found.findings) > 4
    assert list((artifacts.folder / ".partial").iterdir()) == []


def test_a_study_with_files_in_a_bucket(
    storage: RDBStorage, leaves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in (("ACCESS_KEY_ID", "lab"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        import boto3

        boto3.client("s3").create_bucket(Bucket="lab")
        harness = StudyHarness(storage, open_artifacts("s3://lab/soy"), leaves)
        classifier, booster = harness.create(trials=1), harness.create("boost", "booster", base="soy", trials=1)
        assert harness.work(classifier, booster) == 2
        found = verify_store(storage, harness.artifacts, min_age_s=None)
        assert {file.record.study for file in found.findings} == {"soy", "boost"}
        assert found.sound and found.orphans == []
        lost = str(uuid.uuid4())
        harness.artifacts.write(lost, io.BytesIO(b"lost"))
        done = collect_garbage(storage, harness.artifacts, min_age_s=None)
        assert [orphan.entry.artifact_id for orphan in done.orphans] == [lost]
        assert done.left == sum(entry.size for entry in harness.artifacts.entries())
    finally:
        server.stop()


def damage(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")


@pytest.fixture
def folder_harness(storage: RDBStorage, tmp_path: Path, leaves: Path, monkeypatch: pytest.MonkeyPatch) -> StudyHarness:
    """Studies with files in a folder, on a machine that has fetched none of them."""
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "home"))
    return StudyHarness(storage, open_artifacts(str(tmp_path / "store")), leaves)


def test_a_damaged_or_missing_base_suspends_the_study_without_a_failed_trial(
    folder_harness: StudyHarness, tmp_path: Path
) -> None:
    harness = folder_harness
    soy = harness.create()
    harness.work(soy)
    boost = harness.create("boost", "booster", base="soy:0", trials=2, settings={"boost.rounds": 2})
    weights = next(
        file for file in list_files(soy.study.trials[0], storage=harness.storage) if file.filename == WEIGHTS
    )
    place = tmp_path / "store" / weights.artifact_id
    whole = place.read_bytes()
    for number, spoil in enumerate((damage, Path.unlink), start=1):
        spoil(place)
        with pytest.raises(DataError, match=rf"base `soy:0` are damaged, or gone .*{weights.artifact_id}.*--artifacts"):
            harness.work(boost)
        with pytest.raises(UserError, match=r"`boost` is paused \(the weights of base `soy:0` are damaged, or gone"):
            check_suspended(boost)
        place.write_bytes(whole)
        resume_study(boost)
        assert [one["end"] for one in attempts(boost.study.trials[0])] == ["data"] * number
    assert harness.work(boost) == 2 and count_states(boost) == {TrialState.COMPLETE: 2}


def test_a_base_in_a_store_that_is_away_is_retried_later(folder_harness: StudyHarness, tmp_path: Path) -> None:
    harness = folder_harness
    harness.work(harness.create())
    context = harness.context(harness.create("boost", "booster", base="soy:0"))
    assert context.ready
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    (tmp_path / "store").mkdir()  # the empty mount point of a missing disk
    with pytest.raises(StoreFailed, match=r"the artifact store is empty .* mounted") as caught:
        context.frozen.weights()
    assert classify_error(caught.value)[0].name == "infrastructure"
    (tmp_path / "store").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    assert context.frozen.weights().exists()


def test_a_base_whose_record_was_deleted_is_named(folder_harness: StudyHarness) -> None:
    harness = folder_harness
    harness.work(harness.create())
    context = harness.context(harness.create("boost", "booster", base="soy:0"))
    harness.sql(f"DELETE FROM trial_system_attributes WHERE value_json LIKE '%{WEIGHTS}%'")
    assert context.ready
    with pytest.raises(DataError, match=rf"trial `soy:0` has no {WEIGHTS} any more"):
        context.frozen.weights()
