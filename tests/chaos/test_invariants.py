"""The guarantees that a chaos run checks: each violation is found."""

import io
import os
import re
from pathlib import Path

import pytest
from optuna.trial import TrialState
from study_helpers import StudyHarness

from venation.chaos.invariants import (
    leftovers,
    lost_leases,
    num_cut_short,
    unrecorded,
    violations,
)
from venation.leases.claim import claim
from venation.search.handle import StudyHandle
from venation.storage.artifacts import list_files, store_file
from venation.storage.database import open_storage
from venation.studies.registry import checkpoint_id, open_study


@pytest.fixture
def ended(harness: StudyHarness) -> StudyHandle:
    """A study of two trials that has ended as it should."""
    handle = harness.create(trials=2)
    harness.work(handle)
    return handle


def test_a_study_that_ended_well_has_no_violation(harness: StudyHarness, ended: StudyHandle) -> None:
    assert violations(ended, harness.artifacts) == []
    assert leftovers(ended, harness.artifacts) == [] and num_cut_short(ended) == 0
    assert unrecorded(harness.storage, harness.artifacts, most=0) == []


PLANTED = {
    "UPDATE trials SET state = 'RUNNING' WHERE number = 1": "1 trials RUNNING",
    "UPDATE trials SET state = 'FAIL' WHERE number = 1": "1 trials FAIL",
    "UPDATE trials SET number = 2 WHERE number = 1": "2 trials for a budget of 2",
    "UPDATE trial_values SET value = value + 1": "but its metrics say",
    "UPDATE trial_system_attributes SET value_json = CAST(value_json AS jsonb) || CAST(value_json AS jsonb)"
    " WHERE key = 'history'": "2 attempts ended it: complete, complete",
    "DELETE FROM trial_intermediate_values": r"epochs \[\] of 1",
    "INSERT INTO trial_system_attributes (trial_id, key, value_json)"
    " SELECT trial_id, key || 'b', value_json FROM trial_system_attributes"
    " WHERE key LIKE 'artifacts:%'": "8 records of 4 files",
}


def test_each_planted_violation_is_found(harness: StudyHarness, ended: StudyHandle, postgres_url: str) -> None:
    known: list[str] = []
    for statement, expected in PLANTED.items():
        assert not any(re.search(expected, line) for line in known), statement
        harness.sql(statement)
        reopened = open_study(open_storage(postgres_url), ended.study.study_name)
        known = violations(reopened, harness.artifacts)
        assert any(re.search(expected, line) for line in known), (statement, known)


def test_a_changed_byte_and_a_lost_file_are_found(harness: StudyHarness, ended: StudyHandle, tmp_path: Path) -> None:
    first, second, *_ = list_files(ended.study.get_trials()[0], storage=ended.storage)
    stored = tmp_path / "artifacts" / first.artifact_id
    stored.write_bytes(b"\0" + stored.read_bytes()[1:])
    (tmp_path / "artifacts" / second.artifact_id).unlink()
    found = violations(ended, harness.artifacts)
    assert len(found) == 2 and "damaged" in found[0] and f"the bytes of {second.filename}" in found[1]


def test_a_leftover_checkpoint_is_found_unless_its_worker_could_not_remove_it(
    harness: StudyHarness, ended: StudyHandle, postgres_url: str
) -> None:
    blob = checkpoint_id(ended, 1)
    harness.artifacts.write(blob, io.BytesIO(b"epoch 1"))

    def left(end: str, *excused: int) -> list[str]:
        """The leftovers, if every attempt at a trial had ended so."""
        change = f"""jsonb_set(CAST(value_json AS jsonb), '{{0, end}}', '"{end}"')"""
        harness.sql(f"UPDATE trial_system_attributes SET value_json = {change} WHERE key = 'history'")
        reopened = open_study(open_storage(postgres_url), "soy")
        return leftovers(reopened, harness.artifacts, excused=excused)

    found, another = [f"soy:1: {blob} is left"], os.getppid()
    assert left("complete") == left("complete", another) == left("paused at a rung") == found
    assert left("complete", os.getpid()) == left("paused at a rung", another) == left("lost") == []


def test_more_unrecorded_files_than_lost_attempts_explain_are_found(
    harness: StudyHarness, ended: StudyHandle, tmp_path: Path
) -> None:
    (tmp_path / "weights").write_bytes(b"bytes")
    for _ in range(4):
        store_file(harness.artifacts, tmp_path / "weights")
    assert unrecorded(harness.storage, harness.artifacts, most=4) == []
    expected = ["4 files were stored and never recorded; 3 can be explained"]
    assert unrecorded(harness.storage, harness.artifacts, most=3) == expected


def test_lost_leases_are_the_attempts_whose_worker_fell_silent(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    for attempt in (1, 2):
        lease = claim(handle, max_losses=3)
        assert lease is not None and lease.attempt == attempt
        harness.silence()
    harness.work(handle)
    lost = lost_leases(handle)
    assert [(attempt["attempt"], attempt["pid"]) for attempt in lost] == [(1, os.getpid()), (2, os.getpid())]


def test_an_unfinished_study_is_a_violation(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    assert claim(handle, max_losses=3) is not None
    assert [line.split(": ")[1] for line in violations(handle, harness.artifacts)] == [
        "1 trials for a budget of 2",
        "1 trials RUNNING",
    ]
