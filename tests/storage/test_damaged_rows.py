"""Damaged JSON in the database: one line with study, trial and key, from each command."""

import pytest
from small_bundle import EXPECTED_FAILURE, refuse, venation
from study_helpers import StudyHarness

from venation.leases.claim import claim
from venation.storage.attributes import CONFIG, CURVES, HISTORY, SPEC, TRIAL_FILE, UID
from venation.storage.damaged_rows import damaged_rows


@pytest.fixture
def study(harness: StudyHarness, postgres_url: str) -> str:
    """Make the study `soy` with one running trial, and return the database's URL."""
    handle = harness.create("soy")
    lease = claim(handle, max_losses=3)
    assert lease is not None
    return postgres_url


def change(harness: StudyHarness, table: str, key: str, stored: str) -> None:
    owner, value = ("study_id", "1") if table.startswith("study") else ("trial_id", "1")
    harness.sql(f"DELETE FROM {table}_attributes WHERE key = '{key}'")
    harness.sql(f"INSERT INTO {table}_attributes ({owner}, key, value_json) VALUES ({value}, '{key}', '{stored}')")


def test_a_new_study_has_no_damage(harness: StudyHarness, study: str) -> None:
    assert list(damaged_rows(harness.storage.engine)) == []


@pytest.mark.parametrize(
    ("table", "key", "stored", "number", "reason"),
    [
        ("study_user", SPEC.key, '{"kind": ', None, "is not JSON"),
        ("study_user", SPEC.key, "[]", None, "is a list, not a dict"),
        ("study_user", UID.key, "7", None, "is a int, not a str"),
        ("trial_system", CONFIG.key, "nul", 0, "is not JSON"),
        ("trial_system", HISTORY.key, "{}", 0, "is a dict, not a list"),
        ("trial_system", CURVES.key, "[" * 3000, 0, "is not JSON"),
        ("trial_system", TRIAL_FILE.key + "1", '"{}"', 0, "is not the record of a file"),
        ("trial_user", "note", "{", 0, "is not JSON"),
    ],
)
def test_a_damaged_row_is_found(
    harness: StudyHarness, study: str, table: str, key: str, stored: str, number: int | None, reason: str
) -> None:
    change(harness, table, key, stored)
    (row,) = damaged_rows(harness.storage.engine)
    assert (row.study, row.number, row.table, row.key) == ("soy", number, f"{table}_attributes", key)
    assert row.reason == reason
    assert row.sentence().startswith(f"the database is damaged: `{key}` of ") and "\n" not in row.sentence()


@pytest.mark.parametrize(
    ("table", "key", "stored", "commands"),
    [
        ("study_user", SPEC.key, '{"kind": ', ["study list", "study show soy", "study delete soy --yes"]),
        ("trial_system", HISTORY.key, "{", ["trial show soy 0", "study trials soy"]),
        ("trial_system", TRIAL_FILE.key + "1", "3", ["trial show soy 0"]),
    ],
)
def test_a_command_that_meets_it_says_so_in_one_line(
    harness: StudyHarness,
    study: str,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    key: str,
    stored: str,
    commands: list[str],
) -> None:
    change(harness, table, key, stored)
    monkeypatch.setenv("VENATION_STORAGE", study)
    for command in commands:
        refuse(EXPECTED_FAILURE, *command.split(), says=(f"`{key}` of", "study `soy`", f"{table}_attributes", "backup"))
    found = venation("db", "doctor")
    assert "1 damaged: soy" in found.stdout and "restore the database from a backup" in found.stdout
