"""A bundle and a database written by version 0.1 still open, predict the same and continue to run.

``v0.1/`` was made by that version: seven small studies on generated leaves, ended, interrupted,
paused at a rung, waiting, of several objectives and one-shot, and a bundle of three of them with
its predictions.
"""

import csv
from pathlib import Path

import psycopg2
import pytest
from optuna.storages import RDBStorage
from small_bundle import rows, succeed

from venation import load_bundle
from venation.data.synthetic import write_leaves

MADE = Path(__file__).parent / "v0.1"
STUDIES = {
    "done": ("classifier", 1),
    "done-boost": ("booster", 3),
    "done-veins": ("decoder", 1),
    "half": ("classifier", 0),
    "paused": ("classifier", 0),
    "several": ("classifier", 2),
    "shot": ("decoder", 1),
}


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    """The leaves that version 0.1 trained on: they are the same by their seed."""
    write_leaves(tmp_path / "leaves", classes=3, images=8, size=40, seed=3)
    return tmp_path / "leaves"


@pytest.fixture
def database(postgres_url: str) -> str:
    """A database with the tables that version 0.1 wrote."""
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute((MADE / "database.sql").read_text())
    connection.close()
    return postgres_url


def test_its_bundle_is_sound_and_predicts_the_same(leaves: Path) -> None:
    assert "samples: 4" in succeed("bundle", "check", MADE / "bundle.zip")
    with (MADE / "predictions.csv").open(newline="") as file:
        recorded = list(csv.DictReader(file))
    found = load_bundle(MADE / "bundle.zip", device="cpu").predict(leaves / "images")
    assert [each.label for each in found] == [row["label"] for row in recorded]
    expected = [float(row["probability"]) for row in recorded]
    assert [each.probability for each in found] == pytest.approx(expected, abs=1e-4)
    shares = [float((each.mask > 0).mean()) for each in found if each.mask is not None]
    assert shares == pytest.approx([float(row["mask_share"]) for row in recorded], abs=1e-3)


def test_its_studies_are_listed_and_shown(database: str) -> None:
    at = ("--storage", database)
    listed = {row["study"]: (row["kind"], row["complete"]) for row in rows("study", "list", *at)}
    assert listed == STUDIES
    for name in STUDIES:
        assert rows("study", "show", name, *at)["spec"]["kind"] == STUDIES[name][0]
        for trial in rows("study", "trials", name, *at):
            assert rows("trial", "show", name, trial["number"], *at)["number"] == trial["number"]
            succeed("trial", "why", name, trial["number"], *at)
    assert rows("study", "best", "several", *at)["metrics"]["accuracy"] == 0.4
    assert len(rows("study", "pareto", "several", *at)) >= 1


def test_its_records_are_moved_and_read_as_before(database: str) -> None:
    at = ("--storage", database)

    def shown() -> list[object]:
        trials = [(name, trial["number"]) for name in STUDIES for trial in rows("study", "trials", name, *at)]
        return [rows("trial", "show", name, number, *at) for name, number in trials]

    before = shown()
    for _ in range(2):
        succeed("db", "init", *at)
        assert shown() == before
    ended = RDBStorage(database.replace("postgresql://", "postgresql+psycopg2://"))
    attributes = {
        key
        for study in ended.get_all_studies()
        for t in ended.get_all_trials(study._study_id)
        if t.state.is_finished()
        for key in t.user_attrs
    }
    ended.engine.dispose()
    assert "metric:accuracy" in attributes and not attributes & {"config", "provenance", "metrics", "history"}


def test_its_studies_continue_to_run(database: str, leaves: Path, tmp_path: Path) -> None:
    places = ("--storage", database, "--artifacts", tmp_path / "store")
    succeed("worker", "several", "--until-idle", "--device", "cpu", "--data", leaves, *places)
    trials = rows("study", "trials", "several", "--storage", database)
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * 2 + [trial["state"] for trial in trials[2:]]
    assert len(trials) == 4 and {trial["state"] for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert sum(row["running"] + row["waiting"] for row in rows("study", "list", "--storage", database)) > 0, (
        "the others"
    )


def test_its_studies_and_bundle_have_reports(database: str, leaves: Path, tmp_path: Path) -> None:
    for name in ("done", "done-boost", "several", "shot"):
        out = tmp_path / name
        succeed("report", name, "-o", out, "--data", leaves, "--no-network", "--storage", database)
        assert f"<h1>Study {name}</h1>" in (out / "report.html").read_text()
    assert "stores no answers for each image" in (tmp_path / "done" / "report.html").read_text()
    succeed("report", MADE / "bundle.zip", "-o", tmp_path / "bundle")
    assert "Stored samples" in (tmp_path / "bundle" / "report.html").read_text()
