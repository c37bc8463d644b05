"""Workers whose artifact store is a bucket, or a disk that is full for a while: nothing is lost or half-written."""

import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import mounted
from moto.server import ThreadedMotoServer
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from search_desk import Desk, WorkerProcess

from venation.search.collect import collect
from venation.search.history import attempts
from venation.search.inventory import verify_store
from venation.storage.artifacts import open_artifacts
from venation.storage.folder import FolderStore


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


def test_a_trial_on_a_full_disk_comes_back_and_ends_once(
    desk: Desk, artifacts: FolderStore, start_worker: Callable[..., WorkerProcess]
) -> None:
    handle = desk.create(trials=2, heartbeat=0.2, settings={"train.epochs": 2})
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
    found = verify_store(desk.storage, artifacts, min_age_s=0)
    assert found.sound and found.orphans == [] and len(found.findings) > 4
    assert list((artifacts.folder / ".partial").iterdir()) == []


def test_a_study_whose_files_lie_in_a_bucket(
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
        desk = Desk(storage, open_artifacts("s3://lab/soy"), leaves)
        classifier, booster = desk.create(trials=1), desk.create("boost", "booster", base="soy", trials=1)
        assert desk.work(classifier, booster) == 2
        found = verify_store(storage, desk.artifacts, min_age_s=-60)
        assert {file.record.study for file in found.findings} == {"soy", "boost"}
        assert found.sound and found.orphans == []
        lost = str(uuid.uuid4())
        desk.artifacts.write(lost, io.BytesIO(b"lost"))
        done = collect(storage, desk.artifacts, min_age_s=-60)
        assert [orphan.entry.artifact_id for orphan in done.orphans] == [lost]
        assert done.left == sum(entry.size for entry in desk.artifacts.entries())
    finally:
        server.stop()
