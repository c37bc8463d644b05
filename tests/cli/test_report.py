"""`venation report` on trained studies, and what it refuses in one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_bundle import EXPECTED_FAILURE, SmallBundle, refuse, rows, succeed, tree

from venation.api.stores import open_both
from venation.storage.artifacts import get_file
from venation.studies.registry import open_study
from venation.trials.image_outcomes import OUTCOMES, ImageOutcomes

_LOADED = """
import sys
from venation.cli import app
try:
    app()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("study", ["tiny", "tiny-veins", "tiny-boost"])
def test_every_kind_of_study_has_a_report(small_bundle: SmallBundle, tmp_path: Path, study: str) -> None:
    out = tmp_path / "report"
    assert succeed("report", study, "-o", out, "--device", "cpu") == f"{out / 'report.html'}\n"
    page = (out / "report.html").read_text()
    best = rows("study", "best", study)
    assert f"<h1>Study {study}</h1>" in page and f"{best['value']:.3f}" in page
    assert {"figures/history.png", "report.html"} <= tree(out)
    assert ('id="overlays"' in page) and ("What the network sees" in page)
    overlays = page.split('id="overlays"')[1].split("<section")[0]
    assert (overlays.count("<img ") > 0) == (study != "tiny-boost")
    assert ('id="leaks"' in page) == (study == "tiny")
    assert ('id="classes"' in page) == (study != "tiny-veins")


def test_the_report_reads_without_torch(small_bundle: SmallBundle, tmp_path: Path) -> None:
    arguments = ["report", "tiny", "-o", str(tmp_path / "report"), "--no-network"]
    done = subprocess.run([sys.executable, "-c", _LOADED, *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.splitlines()[-1] == "False", done.stderr
    assert 'id="overlays"' not in (tmp_path / "report" / "report.html").read_text()


def test_what_cannot_be_reported_is_said_in_one_line(small_bundle: SmallBundle, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep")
    refuse(EXPECTED_FAILURE, "report", "tiny", "-o", mine, says=("other files than a report's", "notes.txt", "-o"))
    refuse(EXPECTED_FAILURE, "report", "absent", "-o", tmp_path / "r", says=("study `absent` does not exist", "tiny"))
    assert tree(tmp_path) == {"mine", "mine/notes.txt"}


def test_trials_store_the_confidence_of_their_answers(small_bundle: SmallBundle, tmp_path: Path) -> None:
    database, store = open_both(None, None)
    trial = open_study(database, "tiny").study.trials[0]
    found = ImageOutcomes.read(get_file(store, trial, OUTCOMES, to=tmp_path, storage=database))
    assert found.confidence_I is not None and len(found.confidence_I) == len(found.images)
    right = found.answer_I == found.label_I
    # The probability of a right answer is that of the true class; of a wrong one it is larger.
    assert found.confidence_I[right] == pytest.approx(np.exp(-found.logloss_I[right]), abs=1e-5)
    assert (found.confidence_I >= np.exp(-found.logloss_I) - 1e-5).all()
