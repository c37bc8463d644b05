from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from report_helpers import answered, finish, val_images
from scipy.stats import binomtest, bootstrap
from study_helpers import StudyHarness

from venation.reports.leaderboard import draws, leaderboard
from venation.reports.study_facts import rank_trials, read_facts
from venation.reports.study_report import report_study
from venation.trials.image_masks import ImageMasks
from venation.trials.mask_metrics import MaskOutcomes


def test_accuracies_have_wilson_intervals_and_leads_the_exact_test(harness: StudyHarness) -> None:
    handle = harness.create(trials=4)
    images, label_I = val_images(handle)
    none = (label_I + 1) % 3
    one_wrong = label_I.copy()
    one_wrong[0] = none[0]
    for answer_I in (one_wrong, none, label_I):
        finish(harness, handle, answered(label_I, answer_I, classes=3), images)
    board = leaderboard(read_facts(handle, harness.artifacts, None))
    assert [row.trial.number for row in board] == [2, 0, 1]
    for row, hits in zip(board, (len(images), len(images) - 1, 0), strict=True):
        wilson = binomtest(hits, len(images)).proportion_ci(method="wilson")
        assert row.interval == pytest.approx((wilson.low, wilson.high))
    assert board[0].lead is None
    near, far = board[1].lead, board[2].lead
    assert near is not None and far is not None
    # One image of difference is never significant; all of them are (McNemar's p = 2 / 2**n).
    assert (near.value, near.significant) == (pytest.approx(1 / len(images)), False)
    assert (far.value, far.significant) == (1.0, 2 / 2 ** len(images) < 0.05)


def test_the_lead_of_a_minimised_objective_is_positive(harness: StudyHarness) -> None:
    handle = harness.create(trials=2, objectives=["logloss"])
    images, label_I = val_images(handle)
    losses = []
    for sure in (0.5, 0.9):
        labels = answered(label_I, label_I, classes=3, sure=sure)
        losses.append(-np.log(sure))
        finish(harness, handle, labels, images, value=losses[-1])
    first, second = leaderboard(read_facts(handle, harness.artifacts, None))
    assert first.trial.number == 1 and second.lead is not None
    assert second.lead.value == pytest.approx(losses[0] - losses[1], abs=1e-5)
    assert second.lead.significant and second.lead.low <= second.lead.value <= second.lead.high


def test_masks_are_resampled_by_image() -> None:
    rng = np.random.default_rng(1)
    actual = rng.integers(50, 100, size=40)
    kept = np.floor(actual * rng.uniform(0.5, 0.9, size=40)).astype(np.int64)
    found = ImageMasks(tuple(map(str, range(40))), MaskOutcomes(kept, kept, actual, np.zeros(40)))
    low, high = np.percentile(draws(found, "iou"), (2.5, 97.5))

    def iou(kept: np.ndarray, actual: np.ndarray, axis: int) -> np.ndarray:
        return kept.sum(axis=axis) / actual.sum(axis=axis)

    expected = bootstrap((kept, actual), iou, paired=True, method="percentile", n_resamples=4000).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_a_metric_of_batches_has_no_interval_but_a_report(harness: StudyHarness, tmp_path: Path) -> None:
    harness.end_next(harness.create("base"), TrialState.COMPLETE, 0.5)
    handle = harness.create("veins", "decoder", base="base", objectives=["iou_ref"])
    counts = np.array([4, 2])
    finish(harness, handle, MaskOutcomes(counts, counts, counts + 1, np.zeros(2)), ["a", "b"], value=0.5)
    (row,) = leaderboard(read_facts(handle, harness.artifacts, None))
    assert (row.value, row.interval, row.lead) == (0.5, None, None)
    page = report_study(handle, harness.artifacts, tmp_path / "report", device=None).read_text()
    assert "iou_ref is a mean over batches" in page and "ran before Venation recorded" not in page


def test_trials_without_stored_answers_have_no_interval(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    images, label_I = val_images(handle)
    finish(harness, handle, answered(label_I, label_I, classes=3), images)
    harness.end_next(handle, TrialState.COMPLETE, 0.1)
    _, row = leaderboard(read_facts(handle, harness.artifacts, None))
    assert row.trial.number == 1 and row.interval is None and row.lead is None


def test_of_equal_trials_the_lower_log_loss_comes_first(harness: StudyHarness) -> None:
    handle = harness.create(trials=5)
    for value, metrics in ((0.5, {"logloss": 0.9}), (0.6, {"logloss": 2.0}), (0.5, {}), (0.5, {"logloss": 0.7})):
        handle.study.add_trial(optuna.trial.create_trial(value=value, user_attrs={"metrics": metrics}))
    found = rank_trials(handle.study.get_trials(), handle.spec)
    assert [trial.user_attrs["metrics"].get("logloss") for trial in found] == [2.0, 0.7, 0.9, None]
