"""`predict` answers `unknown` below the bundle's threshold, or below another one."""

import csv
from pathlib import Path

import numpy as np
import pytest
from small_bundle import MISUSE, SmallBundle, predicted, refuse, succeed

from venation.api.stores import open_both
from venation.bundles.bundle import read_record
from venation.storage.artifacts import get_file
from venation.studies.registry import get_trial, open_study
from venation.trials.image_outcomes import OUTCOMES, ImageOutcomes


def answers(bundle: SmallBundle, out: Path, *options: object) -> list[tuple[str, str, float]]:
    found = predicted(bundle.path, bundle.leaves / "images", "-o", out, "--device", "cpu", *options)
    with (out / "predictions.csv").open() as file:
        assert [row["answer"] for row in csv.DictReader(file)] == [row["answer"] for row in found]
    return [(row["answer"], row["label"], row["probability"]) for row in found]


def test_the_bundles_threshold_decides(small_bundle: SmallBundle, tmp_path: Path) -> None:
    threshold = read_record(small_bundle.path).min_probability
    assert threshold is not None and 0 < threshold < 1
    for answer, label, probability in answers(small_bundle, tmp_path / "a"):
        assert answer == (label if probability >= threshold else "unknown")
    card = (small_bundle.path / "README.md").read_text()
    assert f"less than\n{threshold:.4f}" in card
    assert f"below a probability of {threshold:.4g}" in succeed("bundle", "show", small_bundle.path)


def test_the_threshold_is_that_of_the_booster_trials_answers(small_bundle: SmallBundle, tmp_path: Path) -> None:
    database, store = open_both(None, None)
    trial = get_trial(open_study(database, "tiny-boost"), 0)
    outcomes = ImageOutcomes.read(get_file(store, trial, OUTCOMES, to=tmp_path, storage=database))
    right = outcomes.label_I == outcomes.answer_I
    assert outcomes.confidence_I is not None and right.any()
    kept = (outcomes.confidence_I[right] >= read_record(small_bundle.path).min_probability).mean()
    assert kept >= 0.95 and np.exp(-outcomes.logloss_I[right]) == pytest.approx(outcomes.confidence_I[right], abs=1e-5)


def test_the_option_sets_another_threshold(small_bundle: SmallBundle, tmp_path: Path) -> None:
    for answer, label, probability in answers(small_bundle, tmp_path / "a", "--min-probability", 0.9):
        assert answer == (label if probability >= 0.9 else "unknown")
    assert all(answer == label for answer, label, _ in answers(small_bundle, tmp_path / "b", "--min-probability", 0))
    refuse(
        MISUSE,
        *("predict", small_bundle.path, small_bundle.leaves, "-o", tmp_path / "c", "--min-probability", 1.5),
        says=("--min-probability",),
    )
