"""Heartbeat and grace."""

import re
from pathlib import Path

import pytest
from study_helpers import StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.errors import UsageError
from venation.leases.claim import claim
from venation.leases.reaper import reap
from venation.search import heartbeat
from venation.search.heartbeat import check_heartbeat, grace_seconds
from venation.search.spec import StudySpec
from venation.storage.attributes import SPEC
from venation.storage.database import open_storage
from venation.studies.registry import open_study

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_grace_is_twelve_heartbeats() -> None:
    assert grace_seconds(0.5) == 6.0
    # A network that drops every packet for a minute is noticed half a minute later; the next
    # heartbeat is in time.
    default = heartbeat.DEFAULT_HEARTBEAT_S
    assert grace_seconds(default) >= 60 + 30 + default
    assert StudySpec.model_fields["heartbeat"].default == default


@pytest.mark.parametrize("seconds", [0.049, 3600.1, 1e18])
def test_heartbeat_out_of_bounds_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"give 0\.05 to 3600 seconds"):
        check_heartbeat(seconds)


@pytest.mark.parametrize("seconds", [0.05, 10.0, 3600.0])
def test_heartbeat_within_bounds_is_accepted(seconds: float) -> None:
    check_heartbeat(seconds)


def test_help_and_docs_state_the_rule() -> None:
    help_text = " ".join(CliRunner().invoke(app, ["study", "create", "--help"], env={"COLUMNS": "250"}).output.split())
    assert f"{heartbeat.MISSED_HEARTBEATS} missed ones" in help_text
    assert f"[default: {heartbeat.DEFAULT_HEARTBEAT_S:g}]" in help_text
    for page in ("explanation/faults.md", "reference/studies.md"):
        stated = re.findall(r"(\w+) missed heartbeats", (DOCS / page).read_text())
        assert set(stated) == {str(heartbeat.MISSED_HEARTBEATS)}, page
    row = next(line for line in (DOCS / "reference/studies.md").read_text().splitlines() if "`--heartbeat`" in line)
    bounds = f"{heartbeat.SHORTEST_HEARTBEAT_S:g} to {heartbeat.LONGEST_HEARTBEAT_S:g}"
    assert bounds in row and row.endswith(f"| {heartbeat.DEFAULT_HEARTBEAT_S:g} |")


def test_stored_study_with_an_unbounded_heartbeat_can_be_reaped(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create()
    assert claim(handle, max_losses=3) is not None
    change = "jsonb_set(CAST(value_json AS jsonb), '{heartbeat}', '1e18')"
    harness.sql(f"UPDATE study_user_attributes SET value_json = {change} WHERE key = '{SPEC.key}'")
    reopened = open_study(open_storage(postgres_url), handle.study.study_name)
    assert reopened.spec.heartbeat == 1e18 and reap(reopened, max_losses=3) == []
