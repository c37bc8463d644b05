"""Studies as the dashboard's JSON: compared with optuna-dashboard's own, and what Venation adds."""

import io
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import optuna_dashboard
import pytest
from dashboards import Send, ask, running
from optuna.trial import TrialState
from study_helpers import StudyHarness

from venation.errors import UserError
from venation.insight.dashboard import ServerOptions
from venation.leases.claim import claim
from venation.search.handle import StudyHandle
from venation.storage.artifacts import put_file
from venation.storage.attributes import COSTS, METRICS, PROBE, SUSPENDED, VERSUS_PROBE
from venation.studies.registry import find_study, open_study
from venation.trials.image_outcomes import ImageOutcomes


@pytest.fixture
def send(harness: StudyHarness) -> Iterator[Send]:
    """Yield a function that sends a request to a running dashboard that may write."""
    with running(harness, ServerOptions(port=0, write=True)) as send:
        yield send


def detail(send: Send, handle: StudyHandle, after: int = 0) -> dict[str, Any]:
    """Return the dashboard's JSON of a study."""
    return json.loads(send(f"/api/studies/{handle.id}?after={after}").body)


def stock(harness: StudyHarness, handle: StudyHandle) -> dict[str, Any]:
    """Return optuna-dashboard's own JSON of a study."""
    own = optuna_dashboard.wsgi(harness.storage)
    given = {"QUERY_STRING": "after=0", "wsgi.input": io.BytesIO()}
    return json.loads(ask(own, f"/api/studies/{handle.id}", **given).body)


def fill(harness: StudyHarness, **options: Any) -> StudyHandle:
    """Create a study with trials of every state."""
    handle = harness.create(trials=9, **options)
    several = len(handle.spec.objectives)
    for number, value in enumerate((0.5, 0.75, float("inf"))):
        handle.study.add_trial(
            optuna.trial.create_trial(
                values=[value, 3.0 - number][:several],
                params={"train.lr": 0.1 + 0.2, "gate": "none", "depth": 3 + number},
                distributions={
                    "train.lr": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True),
                    "gate": optuna.distributions.CategoricalDistribution(("none", "mean", None)),
                    "depth": optuna.distributions.IntDistribution(1, 9 + number),
                },
                intermediate_values={0: 0.1 + 0.2, 1: float("nan"), 4: float("-inf"), 7: 1e-7},
                user_attrs={"text": 'an "ä"', "metric:accuracy": value if value < 1 else 1e-9, "flag": [1, "x"]},
            )
        )
    handle.study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    harness.end_next(handle, TrialState.PRUNED)
    assert claim(handle, max_losses=3)
    return open_study(harness.storage, "soy")


def by_name(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Sort rows, and the choices of their distributions, whose order has no meaning."""
    for row in rows:
        if "choices" in row.get("distribution", {}):
            row["distribution"]["choices"].sort(key=str)
    return sorted(rows, key=lambda row: row[key])


@pytest.mark.parametrize("objective", ["accuracy", ["accuracy", "parameters"]])
def test_a_study_is_shown_as_optuna_dashboard_shows_it(
    harness: StudyHarness, send: Send, objective: str | list[str]
) -> None:
    handle = fill(harness, objective=objective)
    ours, theirs = detail(send, handle), stock(harness, handle)
    assert ours.keys() == theirs.keys()
    same = ("name", "directions", "artifacts", "has_intermediate_values", "is_preferential", "objective_names")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    for key in ("union_search_space", "intersection_search_space"):
        assert by_name(ours[key], "name") == by_name(theirs[key], "name")
    assert by_name(ours["union_user_attrs"], "key") == by_name(theirs["union_user_attrs"], "key")
    numbers = [{trial["number"] for trial in each["best_trials"]} for each in (ours, theirs)]
    assert numbers[0] == numbers[1]
    assert [trial["state"] for trial in ours["trials"]].count("Running") == 1
    for our, their in zip(ours["trials"], theirs["trials"], strict=True):
        our["user_attrs"], their["user_attrs"] = by_name(our["user_attrs"], "key"), by_name(their["user_attrs"], "key")
        assert their.pop("note")["body"] == "" and our.pop("note")["version"] == 0
        for each in (our, their):
            each |= {key: datetime.fromisoformat(each[key]) for key in each if key.startswith("datetime")}
        assert our == their


def test_records_of_earlier_versions_are_not_shown_but_each_metric_is(harness: StudyHarness, send: Send) -> None:
    handle = harness.create(trials=3)
    old = {"config": {"data": {}}, "provenance": {}, "history": [], "metrics": {"accuracy": 0.5, "logloss": 1e-5}}
    handle.study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=old | {"cause": "oom: too large"}))
    found = detail(send, handle)
    expected = {"metric:accuracy": "0.5", "metric:logloss": "1e-05", "cause": "oom: too large"}
    assert {row["key"]: row["value"] for row in found["trials"][1]["user_attrs"]} == expected
    sortable = {row["key"]: row["sortable"] for row in found["union_user_attrs"]}
    assert sortable == {"metric:accuracy": True, "metric:logloss": True, "cause": False}
    assert {row["key"] for row in found["user_attrs"]} == {"created"}
    (listed,) = json.loads(send("/api/studies").body)["study_summaries"]
    assert {row["key"] for row in listed["user_attrs"]} == {"created"} and listed["study_name"] == "soy"


def test_the_note_says_how_the_study_stands(harness: StudyHarness, send: Send) -> None:
    handle = harness.create(trials=2)
    assert "next: `venation worker soy`" in detail(send, handle)["note"]["body"]
    PROBE.set(handle.study, {"accuracy": 0.75, "images": 27, "seconds": 1.0})
    versus = {"images": 27, "difference": 0.25, "low": 0.1, "high": 0.4, "gained": 7, "lost": 0, "p_value": 0.016}
    lease = claim(handle, max_losses=3)
    assert lease is not None and "1 running" in detail(send, handle)["note"]["body"]
    METRICS.set(lease.trial, {"accuracy": 1.0})
    VERSUS_PROBE.set(lease.trial, versus)
    COSTS.set(lease.trial, {"parameters": 5})
    lease.end(TrialState.COMPLETE, 1.0)
    body = detail(send, handle)["note"]["body"]
    # Wilson's interval of 27 of 27, as in the textbook formula.
    assert "best: trial 0, accuracy 1 (95 % interval 0.875 to 1.000 on 27 validation images)" in body
    assert "linear probe: accuracy 0.750" in body and "trial 0 beats the linear probe by 25.0 points" in body
    assert f"data: `{harness.data}`" in body and "progress: 1 of 2 trials: 1 complete" in body
    SUSPENDED.set(handle.study, "the disk is full")
    body = detail(send, handle)["note"]["body"]
    assert "**paused**: the disk is full" in body and "venation study resume soy" in body
    harness.sql("DELETE FROM study_user_attributes WHERE key = 'paused'")
    harness.end_next(handle, TrialState.FAIL)
    assert "venation bundle export soy" in detail(send, handle)["note"]["body"]


def test_a_users_note_stands_below_and_only_it_is_stored(harness: StudyHarness, send: Send) -> None:
    handle = harness.create()
    for number, text in enumerate(("seen by *ada*", "two\n\nparts", "x" * 5000), 1):
        shown = detail(send, handle)["note"]
        own = shown["body"].split("\n* * *\n")[0]
        body = json.dumps({"version": number, "body": f"{own}\n* * *\n\n{text}"})
        assert send(f"/api/studies/{handle.id}/note", "PUT", body, Content_Type="application/json").status == 204
        found = detail(send, handle)["note"]
        assert found["version"] == number and found["body"].endswith(f"\n\n* * *\n\n{text}")
        assert optuna_dashboard.get_note(handle.study) == text if hasattr(optuna_dashboard, "get_note") else True
    conflict = send(f"/api/studies/{handle.id}/note", "PUT", body, Content_Type="application/json")
    assert conflict.status == 409


def test_a_first_note_is_written_below_what_is_shown(harness: StudyHarness, send: Send) -> None:
    handle = harness.create()
    shown = detail(send, handle)["note"]["body"]
    body = json.dumps({"version": 1, "body": f"{shown}seen by ada"})
    assert send(f"/api/studies/{handle.id}/note", "PUT", body, Content_Type="application/json").status == 204
    stored = harness.storage.get_study_system_attrs(handle.id)
    assert [value for key, value in stored.items() if "note_str" in key] == ["seen by ada"]
    assert detail(send, handle)["note"]["body"] == f"{shown}seen by ada"


def test_the_pictures_of_a_trial_are_in_its_note(harness: StudyHarness, tmp_path: Path) -> None:
    lease = claim(harness.create(), max_losses=3)
    assert lease is not None
    ids = {}
    for name in ("samples.png", "metrics.json"):
        (tmp_path / name).write_bytes(b"bytes")
        ids[name] = put_file(harness.artifacts, lease.trial, tmp_path / name)
    with running(harness, ServerOptions(port=0, root="/lab")) as send:
        (trial,) = detail(send, lease.handle)["trials"]
        address = f"/lab/artifacts/{lease.handle.id}/{lease.trial_id}/{ids['samples.png']}"
        assert trial["note"] == {"version": 0, "body": f"![samples.png]({address})\n\n* * *\n\n"}
        assert send(address).body == b"bytes"
        labels = ImageOutcomes(("a", "b"), ("x", "y"), np.array([0, 1]), np.array([0, 0]), np.zeros(2))
        put_file(harness.artifacts, lease.trial, labels.write(tmp_path / "outcomes.json"))
        lease.trial.report(0.5, 0)
        lease.trial.report(0.75, 1)
        (trial,) = detail(send, lease.handle)["trials"]
        drawn = re.findall(r"\((/lab/pictures/\S+)\)", trial["note"]["body"])
        assert [path.split("/")[-1] for path in drawn] == ["curve.svg", "confusion.svg"]
        for path in drawn:
            found = send(path)
            assert found.headers["content-type"] == "image/svg+xml" and found.body.startswith(b"<svg")
            assert "sandbox" in found.headers["content-security-policy"]
            assert send(path.replace(f"/{lease.trial_id}/", "/999999/")).status == 404
        ids["outcomes.json"] = ""
        assert {file["filename"] for file in trial["artifacts"]} == set(ids)


def test_a_study_is_deleted_as_by_the_command_and_never_renamed(harness: StudyHarness, send: Send) -> None:
    soy = harness.create()
    harness.end_next(soy, TrialState.COMPLETE, 0.5)
    veins = harness.create("veins", "decoder", base="soy")
    refused = send(f"/api/studies/{soy.id}", "DELETE", "{}", Content_Type="application/json")
    assert refused.status == 400 and "is the base of `veins`" in json.loads(refused.body)["reason"]
    renamed = send(f"/api/studies/{soy.id}/rename", "POST", '{"study_name": "x"}', Content_Type="application/json")
    assert renamed.status == 400 and "study migrate" in json.loads(renamed.body)["reason"]
    for handle in (veins, soy):
        assert send(f"/api/studies/{handle.id}", "DELETE", "{}", Content_Type="application/json").status == 204
        assert send(f"/api/studies/{handle.id}").status == 404
    assert find_study(harness.storage, "soy") is None


def test_a_study_of_the_create_button_is_explained_and_can_be_completed(harness: StudyHarness, send: Send) -> None:
    body = json.dumps({"study_name": "soy", "directions": ["maximize"]})
    made = json.loads(send("/api/studies", "POST", body, Content_Type="application/json").body)["study_summary"]
    found = json.loads(send(f"/api/studies/{made['study_id']}?after=0").body)
    assert "made outside Venation" in found["note"]["body"] and "venation study create soy" in found["note"]["body"]
    with pytest.raises(UserError, match="made outside Venation.*venation study create soy") as caught:
        open_study(harness.storage, "soy")
    assert "\n" not in str(caught.value)
    handle = harness.create()
    assert handle.id == made["study_id"] and "outside" not in detail(send, handle)["note"]["body"]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=" + "9" * 5000])
def test_a_request_that_does_not_fit_is_refused(harness: StudyHarness, send: Send, query: str) -> None:
    handle = harness.create()
    assert send(f"/api/studies/{handle.id}?{query}").status == 400
    assert send("/api/studies/999999").status == 404
