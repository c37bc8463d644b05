"""The chaos command, what it checks, and the wires that it cuts."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest
from study_helpers import StudyHarness

from venation.chaos.faults import FAULTS
from venation.chaos.invariants import best_worsened, leftovers, num_cut_short, unrecorded, violations
from venation.chaos.run import Report, _home
from venation.chaos.wire import Namespace, Relay
from venation.leases.lease import StudyHandle, claim
from venation.storage import embedded
from venation.storage.artifacts import list_files, store_file
from venation.storage.database import open_storage
from venation.studies.registry import checkpoint_id, open_study


@pytest.mark.timeout(600)
def test_a_minute_of_faults_loses_nothing() -> None:
    command = [
        sys.executable,
        "-m",
        "venation.cli",
        "chaos",
        "--minutes",
        "1",
        "--workers",
        "3",
        "--seed",
        "1",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=590)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout
    report = json.loads(done.stdout)
    kinds = {name.removeprefix("fault ") for name in report if name.startswith("fault ")}
    assert report["violations"] == [] and report["studies"] >= 1 and kinds <= set(FAULTS)
    # No machine lacks these; how many there are depends on how fast this one is.
    assert len(kinds) >= 5 and report["faults"] >= 5
    assert report["workers started"] >= 3
    assert "stay in" not in done.stderr


def test_a_run_without_a_violation_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    report = Report(seed=0)
    with _home(report) as home:
        embedded.start()
    assert not home.exists() and "stay in" not in caplog.text
    report.violations.append("one")
    with _home(report) as home:
        (home / "worker-0.log").touch()
    assert (home / "worker-0.log").exists() and f"stay in {home}" in caplog.text
    shutil.rmtree(home)


@pytest.fixture
def ended(harness: StudyHarness) -> StudyHandle:
    """A study of two trials that has ended as it should."""
    handle = harness.create(trials=2)
    harness.work(handle)
    return handle


def test_a_study_that_ended_well_has_no_violation(harness: StudyHarness, ended: StudyHandle) -> None:
    assert violations(ended, harness.artifacts) == []
    assert leftovers(ended, harness.artifacts) == [] and num_cut_short(ended) == 0
    assert unrecorded(harness.storage, harness.artifacts, cut_short=0) == []


PLANTED = {
    "UPDATE trials SET state = 'RUNNING' WHERE number = 1": "1 trials RUNNING",
    "UPDATE trials SET state = 'FAIL' WHERE number = 1": "1 trials FAIL",
    "UPDATE trials SET number = 2 WHERE number = 1": "2 trials for a budget of 2",
    "UPDATE trial_values SET value = value + 1": "but its metrics say",
    "UPDATE trial_user_attributes SET value_json = CAST(value_json AS jsonb) || CAST(value_json AS jsonb)"
    " WHERE key = 'history'": "2 attempts ended it: complete, complete",
    "DELETE FROM trial_intermediate_values": r"epochs \[\] of 1",
    "INSERT INTO trial_system_attributes (trial_id, key, value_json)"
    " SELECT trial_id, key || 'b', value_json FROM trial_system_attributes"
    " WHERE key LIKE 'artifacts:%'": "6 records of 3 files",
}


@pytest.mark.parametrize("statement", PLANTED)
def test_a_planted_violation_is_found(
    harness: StudyHarness, ended: StudyHandle, postgres_url: str, statement: str
) -> None:
    harness.sql(statement)
    reopened = open_study(open_storage(postgres_url), ended.study.study_name)
    assert any(re.search(PLANTED[statement], line) for line in violations(reopened, harness.artifacts))


def test_a_changed_byte_and_a_lost_file_are_found(harness: StudyHarness, ended: StudyHandle, tmp_path: Path) -> None:
    first, second, *_ = list_files(ended.study.get_trials()[0], storage=ended.storage)
    stored = tmp_path / "artifacts" / first.artifact_id
    stored.write_bytes(b"\0" + stored.read_bytes()[1:])
    (tmp_path / "artifacts" / second.artifact_id).unlink()
    found = violations(ended, harness.artifacts)
    assert len(found) == 2 and "damaged" in found[0] and f"the bytes of {second.filename}" in found[1]


def test_a_checkpoint_that_a_trial_left_is_found_and_one_that_nobody_could_remove_is_let_pass(
    harness: StudyHarness, ended: StudyHandle, postgres_url: str
) -> None:
    blob = checkpoint_id(ended, 1)
    harness.artifacts.write(blob, io.BytesIO(b"epoch 1"))

    def left(end: str, *excused: int) -> list[str]:
        """The leftovers, if every attempt at a trial had ended so."""
        change = f"""jsonb_set(CAST(value_json AS jsonb), '{{0, end}}', '"{end}"')"""
        harness.sql(f"UPDATE trial_user_attributes SET value_json = {change} WHERE key = 'history'")
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
    assert unrecorded(harness.storage, harness.artifacts, cut_short=2) == []
    told = ["4 files were stored and never recorded; 3 can be explained"]
    assert unrecorded(harness.storage, harness.artifacts, cut_short=1) == told


def test_an_unfinished_study_is_a_violation(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    assert claim(handle, max_losses=3) is not None
    assert [line.split(": ")[1] for line in violations(handle, harness.artifacts)] == [
        "1 trials for a budget of 2",
        "1 trials RUNNING",
    ]


def test_a_best_value_may_only_become_better() -> None:
    assert not best_worsened([0.1, 0.1, 0.3], maximise=True) and best_worsened([0.1, 0.3, 0.2], maximise=True)
    assert not best_worsened([3.0, 2.0], maximise=False) and best_worsened([2.0, 3.0], maximise=False)
    assert not best_worsened([], maximise=True)


@pytest.fixture
def relay(postgres_url: str) -> Iterator[Relay]:
    query = parse_qs(urlsplit(postgres_url).query)
    relay = Relay(Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}")
    yield relay
    relay.close()


def connect(relay: Relay, postgres_url: str) -> "psycopg2.extensions.connection":
    database = urlsplit(postgres_url).path.lstrip("/")
    return psycopg2.connect(host="127.0.0.1", port=relay.port, user="postgres", dbname=database)


def test_a_cut_relay_holds_what_is_sent_until_it_is_mended(relay: Relay, postgres_url: str) -> None:
    connection = connect(relay, postgres_url)
    answers: list[int] = []

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 42")
            answers.append(cursor.fetchone()[0])

    ask()
    relay.cut()
    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(0.5)
    assert asking.is_alive() and answers == [42]
    relay.mend()
    asking.join(30)
    assert answers == [42, 42]
    connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's")
def test_a_namespace_has_a_link_that_can_be_cut() -> None:
    try:
        namespace = Namespace(0)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"network namespaces are not allowed here: {error}")
    reach = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close()"
    with socket.create_server((namespace.host, 0)) as server:
        command = ["ip", "netns", "exec", namespace.name, sys.executable, "-c", reach, namespace.host]
        command.append(str(server.getsockname()[1]))
        try:
            assert subprocess.run(command, capture_output=True).returncode == 0
            namespace.cut()
            assert subprocess.run(command, capture_output=True).returncode != 0
            namespace.mend()
            assert subprocess.run(command, capture_output=True).returncode == 0
        finally:
            namespace.close()
