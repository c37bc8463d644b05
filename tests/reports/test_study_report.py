import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState
from PIL import Image
from report_helpers import answered, finish, val_images
from sklearn.metrics import precision_recall_fscore_support
from study_helpers import StudyHarness

from venation.data.synthetic import write_leaves
from venation.errors import DataError, UserError
from venation.reports.study_report import report_study
from venation.storage.attributes import VERSUS_PROBE
from venation.trials.paired import compare_paired


class Tables(HTMLParser):
    """The tables of a page by their label, as lists of rows of texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._label = ""
        self._cell: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div":
            self._label = dict(attrs).get("aria-label") or self._label
        if tag == "tr":
            self.rows.setdefault(self._label, []).append([])
        if tag in ("td", "th"):
            self._cell = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.rows[self._label][-1].append("".join(self._cell))
            self._cell = None


def words(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_numbers_of_a_page_are_those_of_scikit_learn(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create(trials=6)
    images, label_I = val_images(handle)
    rng = np.random.default_rng(3)
    best_I = np.where(rng.uniform(size=len(label_I)) < 0.8, label_I, (label_I + 1) % 3)
    finish(harness, handle, answered(label_I, (label_I + 1) % 3, classes=3), images, curve=[0.1, 0.0])
    best = finish(harness, handle, answered(label_I, best_I, classes=3), images, curve=[0.2, 0.8])
    for _ in range(2):
        harness.end_next(handle, TrialState.FAIL)
    page = report_study(handle, harness.artifacts, tmp_path / "report", device=None).read_text()
    rows = Tables(page).rows
    scores = precision_recall_fscore_support(label_I, best_I, labels=[0, 1, 2], zero_division=0)
    for row, precision, recall, f1, images_of in zip(rows["Scores of the classes"][1:], *scores, strict=True):
        assert [float(cell) for cell in row[2:6]] == pytest.approx([images_of, recall, precision, f1], abs=1e-4)
    first, second = rows["Leaderboard"][1:]
    assert first[1:3] == [str(best), f"{(best_I == label_I).mean():.4f}"] and second[1] == "0"
    wrong = int((best_I != label_I).sum())
    assert f"answers {len(images) - wrong} of {len(images)} validation images correctly" in words(page)
    assert "4 trials of a budget of 6: 2 finished, 2 failed" in words(page)
    assert page.count("<img ") >= len(images)


def test_the_summary_says_by_how_much_the_probe_is_beaten(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create(trials=1)
    images, label_I = val_images(handle)
    finish(harness, handle, answered(label_I, label_I, classes=3), images)
    right, probe = np.arange(200) < 180, np.arange(200) < 150
    found = json.dumps(vars(compare_paired(right, probe)))
    harness.sql(
        f"INSERT INTO trial_user_attributes (trial_id, key, value_json) SELECT trial_id, '{VERSUS_PROBE.key}',"
        f" '{found}' FROM trials"
    )
    page = report_study(handle, harness.artifacts, tmp_path / "report", device=None).read_text()
    assert re.search(r"Trial 0 beats the linear probe by 15\.0 points \(1\d\.\d to \d\d\.\d\) on 200", words(page))


def test_a_page_needs_nothing_beside_it(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create(trials=3)
    images, label_I = val_images(handle)
    for shift in range(3):
        finish(harness, handle, answered(label_I, (label_I + shift) % 3, classes=3), images, curve=[0.1, 0.2])
    path = report_study(handle, harness.artifacts, tmp_path / "report", device=None)
    page = path.read_text()
    assert "<script" not in page and not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert not re.search(r"url\((?!#)", page) and "@import" not in page
    figures = sorted((path.parent / "figures").iterdir())
    assert {each.stem for each in figures} >= {"history", "learning-curves", "confusion", "calibration", "pareto"}
    for each in figures:
        assert Image.open(io.BytesIO(each.read_bytes())).width > 1000
    assert len(figures) == page.count("<svg ")
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_what_is_missing_is_said(harness: StudyHarness, tmp_path: Path) -> None:
    data = tmp_path / "leaves"
    write_leaves(data, classes=3, images=6, size=40, seed=2)
    handle = StudyHarness(harness.storage, harness.artifacts, data).create()
    harness.end_next(handle, TrialState.COMPLETE, 0.5, "outcomes.json", "weights.safetensors")
    data.rename(tmp_path / "moved")
    text = words(report_study(handle, harness.artifacts, tmp_path / "report").read_text())
    assert "stores no answers for each image" in text and "give the place of the images with --data" in text.lower()
    with pytest.raises(DataError):
        report_study(handle, harness.artifacts, tmp_path / "other", data=harness.data)
    assert not (tmp_path / "other").exists()


def test_one_of_each_is_said_in_the_singular(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create(trials=1)
    images, label_I = val_images(handle)
    finish(harness, handle, answered(label_I, label_I, classes=3), images, curve=[0.5, 1.0])
    text = words(report_study(handle, harness.artifacts, tmp_path / "report", device=None).read_text())
    assert "1 trial of a budget of 1: 1 finished" in text and "1 of 1 finished trial" in text
    assert "better in both than trial 0." in text and "of 1 trial by epoch; the best is coloured" in text
    assert not re.search(r"\b1 (trials|images|answers)\b", text)


def test_a_study_without_a_finished_trial_has_no_report(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create()
    with pytest.raises(UserError, match="no finished trial yet; start `venation worker soy`"):
        report_study(handle, harness.artifacts, tmp_path / "report")
    assert list(tmp_path.glob("report*")) == []
