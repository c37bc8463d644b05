"""The chaos command, what it checks, and the wires that it cuts."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest
from search_desk import Desk

from venation.chaos.faults import FAULTS
from venation.chaos.invariants import best_worsened, violations
from venation.chaos.wire import Namespace, Relay
from venation.search.lease import StudyHandle, claim
from venation.search.studies import open_study
from venation.storage.artifacts import list_files
from venation.storage.database import open_storage


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


@pytest.fixture
def ended(desk: Desk) -> StudyHandle:
    """A study of two trials that has ended as it should."""
    handle = desk.create(trials=2)
    desk.work(handle)
    return handle


def test_a_study_that_ended_well_has_no_violation(desk: Desk, ended: StudyHandle) -> None:
    assert violations(ended, desk.artifacts) == []


PLANTED = {
    "UPDATE trials SET state = 'RUNNING' WHERE number = 1": "1 trials RUNNING",
    "UPDATE trials SET state = 'FAIL' WHERE number = 1": "1 trials FAIL",
    "UPDATE trials SET number = 2 WHERE number = 1": "2 trials for a budget of 2",
    "UPDATE trial_values SET value = value + 1": "but its metrics say",
    "DELETE FROM trial_intermediate_values": r"epochs \[\] of 1",
    "INSERT INTO trial_system_attributes (trial_id, key, value_json)"
    " SELECT trial_id, key || 'b', value_json FROM trial_system_attributes"
    " WHERE key LIKE 'artifacts:%'": "6 records of 3 files",
}


@pytest.mark.parametrize("statement", PLANTED)
def test_a_planted_violation_is_found(desk: Desk, ended: StudyHandle, postgres_url: str, statement: str) -> None:
    desk.sql(statement)
    reopened = open_study(open_storage(postgres_url), ended.study.study_name)
    assert any(re.search(PLANTED[statement], line) for line in violations(reopened, desk.artifacts))


def test_a_changed_byte_and_a_lost_file_are_found(desk: Desk, ended: StudyHandle, tmp_path: Path) -> None:
    first, second, *_ = list_files(ended.study.get_trials()[0], storage=ended.storage)
    stored = tmp_path / "artifacts" / first.artifact_id
    stored.write_bytes(b"\0" + stored.read_bytes()[1:])
    (tmp_path / "artifacts" / second.artifact_id).unlink()
    found = violations(ended, desk.artifacts)
    assert len(found) == 2 and "damaged" in found[0] and f"the bytes of {second.filename}" in found[1]


def test_an_unfinished_study_is_a_violation(desk: Desk) -> None:
    handle = desk.create(trials=2)
    assert claim(handle, max_losses=3) is not None
    assert [line.split(": ")[1] for line in violations(handle, desk.artifacts)] == [
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
