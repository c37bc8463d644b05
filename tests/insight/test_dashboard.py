"""The dashboard over HTTP: its page, its list of studies, files of trials, and a port in use."""

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dashboards import running
from optuna.trial import TrialState
from study_helpers import StudyHarness, database_down

from venation.errors import UserError
from venation.insight.dashboard import ServerOptions, build_server
from venation.leases.claim import claim
from venation.storage import quick_trials
from venation.storage.artifacts import put_file
from venation.web.login import Login


@pytest.fixture
def get(harness: StudyHarness) -> Iterator[Callable[[str], bytes]]:
    """Yield a function that fetches a path from a running dashboard."""
    with running(harness) as send:

        def fetch(path: str) -> bytes:
            answer = send(path)
            assert answer.status == 200, answer
            return answer.body

        yield fetch


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


def test_a_poll_sends_only_trials_that_the_page_lacks(harness: StudyHarness, get: Callable[[str], bytes]) -> None:
    handle = harness.create(trials=9)
    for _ in range(8):
        harness.end_next(handle, TrialState.COMPLETE, 0.5)
    claim(handle, max_losses=3)
    found = json.loads(get(f"/api/studies/{handle.id}?after=8"))
    assert [(trial["number"], trial["state"]) for trial in found["trials"]] == [(8, "Running")]
    assert [trial["number"] for trial in found["best_trials"]] == [0]


def test_further_plots_do_not_read_known_trials_again(
    harness: StudyHarness, get: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Turn off the dashboard's own cache, which keeps responses for some seconds.
    monkeypatch.setattr("optuna_dashboard._storage.timedelta", lambda **_: datetime.timedelta())
    handle = harness.create(trials=3)
    for value in (0.5, 0.75, 0.25):
        harness.end_next(handle, TrialState.COMPLETE, value)
    read: list[int] = []
    read_trials = quick_trials._trial
    monkeypatch.setattr(quick_trials, "_trial", lambda row: read.append(row.number) or read_trials(row))
    for _ in range(2):
        assert get(f"/csv/{handle.id}").count(b"COMPLETE") == 3
    assert read == [0, 1, 2]


def test_a_taken_port_is_a_one_line_error(harness: StudyHarness) -> None:
    with build_server(harness.storage, harness.artifacts, ServerOptions(port=0)) as server:
        taken = server.server_port
        with pytest.raises(UserError, match=rf"cannot listen on 127.0.0.1:{taken} \(.*\); choose another"):
            build_server(harness.storage, harness.artifacts, ServerOptions(port=taken))


def test_stored_files_are_not_shared_with_other_sites(harness: StudyHarness, tmp_path: Path) -> None:
    lease = claim(harness.create(), max_losses=3)
    assert lease is not None
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    artifact = put_file(harness.artifacts, lease.trial, tmp_path / "page.html")
    with running(harness) as send:
        answer = send(f"/artifacts/{lease.handle.id}/{lease.trial_id}/{artifact}")
        assert answer.status == 200 and "sandbox" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert send("/api/studies", Host="evil.example").status == 403
        assert send("/api/studies", Origin="http://evil.example").status == 403


def test_a_read_only_dashboard_deletes_nothing(harness: StudyHarness) -> None:
    handle = harness.create()
    path, body = f"/api/studies/{handle.id}", json.dumps({"remove_associated_artifacts": True})
    with running(harness) as send:
        assert send(path, "DELETE", body, Content_Type="application/json").status == 403
        assert send(path).status == 200
    with running(harness, ServerOptions(port=0, write=True)) as send:
        assert send(path, "DELETE", body, Content_Type="application/json", Origin="http://x").status == 403
        assert send(path, "DELETE", body, Content_Type="application/json").status == 204
        assert send(path).status == 404


def test_the_dashboard_works_under_a_path_and_after_a_login(harness: StudyHarness) -> None:
    harness.create()
    login, token = Login({}, ("0123456789abcdef",)), "Bearer 0123456789abcdef"
    with running(harness, ServerOptions(port=0, root="/lab/", login=login)) as send:
        assert send("/lab/api/studies").status == 401 and send("/health").body == b"ok\n"
        assert len(json.loads(send("/lab/api/studies", Authorization=token).body)["study_summaries"]) == 1
        assert b"/lab/static/bundle.js" in send("/lab/dashboard", Authorization=token).body
        assert send("/lab/static/bundle.js", Authorization=token).headers["content-encoding"] == "gzip"


def test_an_outage_while_the_page_is_open_is_said_and_ends(harness: StudyHarness, postgres_url: str) -> None:
    harness.create()
    with running(harness) as send:
        assert send("/health/ready").status == 200
        with database_down(postgres_url):
            answer = send("/api/studies")
            assert answer.status == 503 and "does not answer" in json.loads(answer.body)["reason"]
            assert (send("/health").status, send("/health/ready").status) == (200, 503)
        assert send("/api/studies").status == 200


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (ServerOptions(host="0.0.0.0", port=0), "needs a login"),
        (ServerOptions(port=0, root="lab"), "--root-path"),
        (ServerOptions(port=0, root="/a b"), "--root-path"),
    ],
)
def test_options_that_do_not_fit_are_refused(harness: StudyHarness, options: ServerOptions, says: str) -> None:
    with pytest.raises(UserError, match=says):
        build_server(harness.storage, harness.artifacts, options)
