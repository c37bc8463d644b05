"""The dashboard over HTTP: its page, its list of studies, files of trials, and a port in use."""

import datetime
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from optuna.trial import TrialState
from sqlalchemy import event
from study_helpers import StudyHarness

from venation.errors import UserError
from venation.insight.dashboard import build_server
from venation.leases.claim import claim
from venation.storage.artifacts import put_file


@pytest.fixture
def get(harness: StudyHarness) -> Iterator[Callable[[str], bytes]]:
    """Yield a function that fetches a path from a running dashboard."""
    server = build_server(harness.storage, harness.artifacts, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def fetch(path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=60) as response:
            body: bytes = response.read()
        return body

    yield fetch
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_dashboard_shows_studies_and_trials(harness: StudyHarness, get: Callable[[str], bytes]) -> None:
    handle = harness.create(trials=2)
    assert b"<html" in get("/dashboard").lower()
    (study,) = json.loads(get("/api/studies"))["study_summaries"]
    assert (study["study_name"], study["study_id"]) == ("soy", handle.id)
    for value in (0.5, 0.75):
        harness.end_next(handle, TrialState.COMPLETE, value)
    trials = json.loads(get(f"/api/studies/{handle.id}?after=0"))["trials"]
    assert [trial["values"] for trial in trials] == [[0.5], [0.75]]


def test_the_files_of_a_trial_can_be_fetched(
    harness: StudyHarness, get: Callable[[str], bytes], tmp_path: Path
) -> None:
    lease = claim(harness.create(), max_losses=3)
    assert lease is not None
    (tmp_path / "metrics.json").write_text('{"accuracy": 1}')
    artifact = put_file(harness.artifacts, lease.trial, tmp_path / "metrics.json")
    assert get(f"/artifacts/{lease.handle.id}/{lease.trial_id}/{artifact}") == b'{"accuracy": 1}'


def test_a_second_poll_does_not_read_known_trials_again(
    harness: StudyHarness, get: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Turn off the dashboard's own cache, which keeps responses for some seconds.
    monkeypatch.setattr("optuna_dashboard._storage.timedelta", lambda **_: datetime.timedelta())
    handle = harness.create(trials=8)
    for _ in range(8):
        harness.end_next(handle, TrialState.COMPLETE, 0.5)
    asked: list[str] = []
    event.listen(harness.storage.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    trials = f"/api/studies/{handle.id}?after=0"
    assert len(json.loads(get(trials))["trials"]) == 8
    first = [*asked]
    asked.clear()
    assert len(json.loads(get(trials))["trials"]) == 8
    assert asked, "the poll asked for new trials"
    assert [any("FROM trial_values" in each for each in all_) for all_ in (first, asked)] == [True, False]


def test_a_taken_port_is_a_one_line_error(harness: StudyHarness) -> None:
    with build_server(harness.storage, harness.artifacts, host="127.0.0.1", port=0) as server:
        taken = server.server_port
        with pytest.raises(UserError, match=rf"cannot listen on 127.0.0.1:{taken} \(.*\); choose another"):
            build_server(harness.storage, harness.artifacts, host="127.0.0.1", port=taken)
