"""Edited, replaced or missing images between two trials suspend the study by name."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from small_bundle import BAD_DATA, EXPECTED_FAILURE, refuse, succeed
from study_helpers import StudyHarness

from venation.data.fingerprint import digests
from venation.data.manifest import load_manifest
from venation.errors import DataError
from venation.leases.budget import count_states
from venation.leases.history import attempts
from venation.search.handle import StudyHandle
from venation.studies import data, resolve
from venation.studies.data import SeenFiles
from venation.workers import worker
from venation.workers.objective import Result

IMAGE, MASK = "images/cultivar_01/leaf_003.png", "masks/cultivar_01/leaf_003.png"


@pytest.fixture
def own(harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the leaves that a test may change; every check is due."""
    monkeypatch.setattr(data, "REST", 0.0)
    return Path(shutil.copytree(harness.data, tmp_path / "leaves"))


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def exchange(path: Path) -> None:
    """Replace the file by another of the same size and time."""
    before, new = path.stat(), path.with_suffix(".new")
    new.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(path)


def copy_again(path: Path) -> None:
    path.with_suffix(".new").write_bytes(path.read_bytes())
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        (edit, IMAGE, f"changed: {IMAGE}"),
        (exchange, IMAGE, f"changed: {IMAGE}"),
        (exchange, MASK, f"changed: {IMAGE}"),
        (Path.unlink, IMAGE, f"missing: {IMAGE}"),
        (Path.unlink, MASK, f"missing: {IMAGE}"),
    ],
)
def test_changed_files_are_named(own: Path, change: Callable[[Path], None], name: str, says: str) -> None:
    manifest = load_manifest(own)
    seen, prints = SeenFiles(manifest), digests(manifest)
    assert seen.changes(prints) == []
    change(own / name)
    assert seen.changes(prints) == [says] and seen.changes(prints) == [says]


def test_rewritten_files_with_the_same_bytes_are_accepted_and_read_once(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load_manifest(own)
    seen, prints = SeenFiles(manifest), digests(manifest)
    copy_again(own / IMAGE)
    assert seen.changes(prints) == []
    monkeypatch.setattr(data, "digests", None)
    assert seen.changes(prints) == []


def test_the_interval_of_checks_is_proportional_to_their_duration(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = load_manifest(own)
    seen, prints = SeenFiles(manifest), digests(manifest)
    monkeypatch.setattr(data, "REST", 100.0)
    clock = iter([10.0, 10.5, 10.5, 59.0, 61.0, 62.0, 62.0])
    monkeypatch.setattr(data.time, "monotonic", lambda: next(clock))
    assert seen.changes(prints) == []
    edit(own / IMAGE)
    assert seen.changes(prints) == [], "half a second in fifty has been spent"
    assert seen.changes(prints) == [f"changed: {IMAGE}"]


def test_changed_data_suspend_the_study_until_they_are_restored(
    harness: StudyHarness, own: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create(trials=3, data=own)
    before = (own / IMAGE).read_bytes()

    def change_after(*given: object) -> Result:
        edit(own / IMAGE)
        return Result(0.5, {}, ())

    monkeypatch.setattr(worker, "run_trial", change_after)
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    start = ("worker", "soy", "--until-idle", "--device", "cpu", *places)
    refuse(BAD_DATA, *start, says=(f"`{own}` does not hold the data of study `soy` any more", f"changed: {IMAGE}"))
    assert count_states(handle) == {TrialState.COMPLETE: 1, TrialState.WAITING: 1}
    assert waiting(handle) == [("data", f"data: `{own}` does not hold the data of study `soy` any more")]
    assert f"changed: {IMAGE}" in succeed("study", "show", "soy", "--storage", postgres_url)
    refuse(BAD_DATA, *start, says=(f"changed: {IMAGE}",))
    (own / IMAGE).write_bytes(before)
    refuse(EXPECTED_FAILURE, *start, says=("`soy` is paused", f"changed: {IMAGE}", "venation study resume soy"))
    succeed("study", "resume", "soy", "--storage", postgres_url)
    monkeypatch.setattr(worker, "run_trial", lambda *_: Result(0.5, {}, ()))
    succeed(*start)
    assert count_states(handle) == {TrialState.COMPLETE: 3}


def test_an_undecodable_image_of_an_older_study_suspends_it_with_advice_that_works(
    harness: StudyHarness, own: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (own / IMAGE).read_bytes()
    (own / IMAGE).write_bytes(whole[:-500])
    # Earlier versions did not decode the images when they created a study.
    monkeypatch.setattr(resolve, "check_decodable", lambda *_: None)
    harness.create(trials=1, data=own)
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    start = ("worker", "soy", "--until-idle", "--device", "cpu", *places)
    refuse(BAD_DATA, *start, says=(f"image {own / IMAGE} cannot be decoded", "create a study without it"))
    monkeypatch.undo()
    with pytest.raises(DataError, match="cannot be decoded"):
        harness.create("say", trials=1, data=own)
    (own / IMAGE).unlink()
    (own / MASK).unlink()
    assert harness.create("say", trials=1, data=own).spec.classes


def waiting(handle: StudyHandle) -> list[tuple[str, str]]:
    """Return the last end and the cause, up to the first bracket, of each waiting trial."""
    trials = handle.study.get_trials(states=(TrialState.WAITING,))
    return [(attempts(trial)[-1]["end"], trial.user_attrs["cause"].split(" (")[0]) for trial in trials]


def test_a_worker_continues_with_its_other_studies(
    harness: StudyHarness, own: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    soy, say = harness.create(trials=2, data=own), harness.create("say", trials=2)
    contexts = [harness.context(soy), harness.context(say)]
    monkeypatch.setattr(worker, "run_trial", lambda *_: Result(0.5, {}, ()))
    shutil.rmtree(own)
    with pytest.raises(DataError, match=r"missing: .*; and 31 more\); put the same files back"):
        worker.work(contexts, until_idle=True)
    assert count_states(say) == {TrialState.COMPLETE: 2} and "study soy is left out" in caplog.text
