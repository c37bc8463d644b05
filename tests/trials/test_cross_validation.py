"""Folds that hold out whole groups, against a loop with scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from venation.errors import DataError
from venation.trials.boost import BoostData
from venation.trials.cross_validation import CrossValidation, fold_numbers, split_folds
from venation.trials.features import Features, join, take
from venation.trials.trial_config import BoostConfig

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(3, 6)).astype(np.float32)


def draw(per_class: int) -> Features:
    y = np.repeat(np.arange(3), per_class)
    x = CENTRES[y] + RNG.normal(0, 1, (len(y), 6)).astype(np.float32)
    return Features(x, y, np.full((len(y), 3), 1 / 3, np.float32))


TRAIN, VAL = draw(10), draw(8)
GROUPS = [f"plant {index // 2}" for index in range(24)]


def test_groups_stay_together_and_classes_are_spread() -> None:
    number = fold_numbers(VAL.y, GROUPS, folds=4)
    assert all(number[2 * plant] == number[2 * plant + 1] for plant in range(12))
    counts = np.zeros((4, 3))
    np.add.at(counts, (number, VAL.y), 1)
    assert (counts == 2).all()


def test_there_are_at_most_as_many_folds_as_groups() -> None:
    assert sorted(set(fold_numbers(VAL.y[:6], GROUPS[:6], folds=20))) == [0, 1, 2]
    with pytest.raises(DataError, match=r"1 group, but folds need two: set boost\.folds=0"):
        fold_numbers(VAL.y[:2], GROUPS[:2], folds=5)


def test_logistic_folds_equal_a_plain_loop() -> None:
    config = BoostConfig(booster="logistic", reg_lambda=0.01, folds=4)
    folds = split_folds(TRAIN, VAL, GROUPS, folds=4)
    fit = CrossValidation(folds, BoostData(join(TRAIN, VAL), None), config, num_classes=3)
    results = list(fit)
    number = fold_numbers(VAL.y, GROUPS, folds=4)
    expected = np.zeros((24, 3))
    for fold in range(4):
        out = number == fold
        learnt = join(TRAIN, take(VAL, np.flatnonzero(~out & (number != (fold + 1) % 4))))
        mean, spread = learnt.x.mean(0), learnt.x.std(0)
        model = LogisticRegression(C=1 / (0.01 * len(learnt.y)), max_iter=2000, tol=1e-8)
        model.fit(((learnt.x - mean) / spread).astype(float), learnt.y)
        expected[out] = model.predict_proba(((VAL.x[out] - mean) / spread).astype(float))
        assert results[fold].metrics["logloss"] == pytest.approx(
            log_loss(VAL.y[out], expected[out], labels=range(3)), rel=1e-2
        )
    np.testing.assert_allclose(fit.probability_NK, expected, atol=5e-3)


@pytest.mark.parametrize("booster", ["gblinear", "gbtree", "dart"])
def test_the_final_booster_is_fitted_on_both_splits_for_the_median_of_the_rounds(booster: str) -> None:
    config = BoostConfig(booster=booster, rounds=12, patience=3, max_depth=2, folds=3)
    folds = split_folds(TRAIN, VAL, GROUPS, folds=3)
    fit = CrossValidation(folds, BoostData(join(TRAIN, VAL), None), config, num_classes=3)
    with pytest.raises(RuntimeError, match="some folds are not fitted"):
        _ = fit.booster
    rounds = [result.rounds for result in fit]
    assert all(1 <= count <= 12 for count in rounds)
    kept = fit.booster
    assert kept.num_rounds == int(np.median(rounds))
    both = join(TRAIN, VAL)
    assert log_loss(both.y, kept.predict(both.x)) < log_loss(VAL.y, fit.probability_NK, labels=range(3))


@pytest.mark.parametrize("booster", ["gblinear", "gbtree"])
def test_boosters_are_no_better_than_chance_on_noise(booster: str) -> None:
    """Rounds chosen on the scored images would look better than chance."""
    config = BoostConfig(booster=booster, eta=0.3, rounds=40, patience=40, folds=3)
    gains = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        noise = [
            Features(rng.normal(size=(n, 8)).astype(np.float32), rng.integers(3, size=n), np.ones((n, 3), np.float32))
            for n in (20, 21)
        ]
        folds = split_folds(*noise, [str(index) for index in range(21)], folds=3)
        fit = CrossValidation(folds, BoostData(join(*noise), None), config, num_classes=3)
        gains.append(np.log(3) - np.mean([result.metrics["logloss"] for result in fit]))
    assert np.mean(gains) < 0


def test_no_fold_trains_on_the_images_that_it_scores() -> None:
    """A fit that read the held-out images would predict their labels, which no other image has."""
    noise = Features(RNG.normal(size=(24, 40)).astype(np.float32), RNG.integers(3, size=24), VAL.probabilities)
    train = Features(RNG.normal(size=(30, 40)).astype(np.float32), TRAIN.y, TRAIN.probabilities)
    config = BoostConfig(booster="logistic", reg_lambda=1e-6, folds=4)
    fit = CrossValidation(
        split_folds(train, noise, GROUPS, folds=4), BoostData(join(train, noise), None), config, num_classes=3
    )
    losses = [result.metrics["logloss"] for result in fit]
    assert min(losses) > np.log(3)
    assert log_loss(noise.y, fit.booster.predict(noise.x), labels=range(3)) < 0.1
