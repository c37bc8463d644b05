"""The record of versions, machine and command that a trial stores."""

import sys

import optuna
import pytest

from venation.trials import provenance


def test_provenance_is_complete_and_round_trips() -> None:
    record = provenance.collect_provenance("cpu")
    assert record.versions["optuna"] == optuna.__version__
    assert {"venation", "torch", "timm", "xgboost", "numpy"} <= set(record.versions)
    assert record.device.startswith("cpu ")
    assert record.command and record.hostname and record.platform and record.python
    assert record.commit is None or len(record.commit) == 40
    assert provenance.Provenance.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("form", ["{}", "--storage={}"])
def test_provenance_has_no_password_of_the_command_line(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql+psycopg2://lab:hunter2@db.example:5432/venation?password=hunter3"
    monkeypatch.setattr(sys, "argv", ["venation", "worker", "soy", form.format(url)])
    recorded = provenance.collect_provenance("cpu").model_dump_json()
    assert "hunter" not in recorded and "db.example" in recorded
