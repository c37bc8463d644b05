"""Boosters against scikit-learn, their best round and a copy read from disk."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from venation.errors import UserError
from venation.trials.boost import BoostData, RoundResult, fit_booster
from venation.trials.booster import Booster
from venation.trials.errors import TrialFailed
from venation.trials.features import Features, join, take
from venation.trials.trial_config import BoostConfig

LINEAR = BoostConfig(booster="gblinear", rounds=30)
TREES = BoostConfig(booster="gbtree", rounds=15, max_depth=2, subsample=0.7, colsample=0.5)
DART = TREES.model_copy(update={"booster": "dart"})
BOTH = pytest.mark.parametrize("config", [LINEAR, TREES, DART], ids=["gblinear", "gbtree", "dart"])


def make_features(start: int, stop: int) -> Features:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[start:stop]
    return Features(x[order].astype(np.float32), y[order], np.full((stop - start, 10), 0.1, dtype=np.float32))


TRAIN, VAL = make_features(0, 200), make_features(200, 500)


def fitted(config: BoostConfig, train: Features = TRAIN) -> tuple[Booster, list[RoundResult]]:
    fit = fit_booster(BoostData(train, VAL), config, num_classes=10)
    rounds = list(fit)
    return fit.booster, rounds


def test_gblinear_is_as_accurate_as_logistic_regression() -> None:
    booster, rounds = fitted(LINEAR)
    scale = TRAIN.x.std(0) + 1e-9
    reference = LogisticRegression(C=1.0, max_iter=500).fit(TRAIN.x / scale, TRAIN.y)
    theirs = reference.score(VAL.x / scale, VAL.y)
    ours = (booster.predict(VAL.x).argmax(1) == VAL.y).mean()
    assert ours > theirs - 0.03
    assert rounds[-1].val_logloss < rounds[0].val_logloss


@pytest.mark.parametrize("config", [LINEAR, TREES], ids=["gblinear", "gbtree"])
def test_the_booster_is_that_of_the_best_round(config: BoostConfig) -> None:
    # A high learning rate without penalty overfits, so the best round is not the last.
    config = config.model_copy(update={"rounds": 60, "patience": 4, "eta": 1.0, "reg_lambda": 0.0})
    booster, rounds = fitted(config)
    best = min(rounds, key=lambda result: result.val_logloss)
    assert best is not rounds[-1]
    assert [result.best for result in rounds][best.round :] == [True] + [False] * (len(rounds) - best.round - 1)
    assert log_loss(VAL.y, booster.predict(VAL.x), labels=range(10)) == pytest.approx(best.val_logloss, rel=1e-4)


@pytest.mark.parametrize("config", [LINEAR, TREES], ids=["gblinear", "gbtree"])
def test_boosting_stops_after_patience_rounds_without_progress(config: BoostConfig) -> None:
    config = config.model_copy(update={"rounds": 500, "patience": 3, "eta": 1.0, "reg_lambda": 0.0})
    _, rounds = fitted(config)
    assert len(rounds) < 500
    assert len(rounds) - 1 - max(result.round for result in rounds if result.best) == 3


@BOTH
def test_two_fits_are_identical(config: BoostConfig) -> None:
    left, left_rounds = fitted(config)
    right, right_rounds = fitted(config)
    assert left_rounds == right_rounds
    np.testing.assert_array_equal(left.predict(VAL.x), right.predict(VAL.x))


def test_a_dart_booster_is_that_of_its_best_round() -> None:
    booster, rounds = fitted(BoostConfig(booster="dart", rounds=9, max_depth=2, drop=0.9, eta=1.0))
    best = min(rounds, key=lambda result: result.val_logloss)
    assert best is not rounds[-1]
    assert log_loss(VAL.y, booster.predict(VAL.x), labels=range(10)) == pytest.approx(best.val_logloss, rel=1e-4)


@pytest.mark.parametrize("classes", [2, 10])
def test_logistic_equals_scikit_learn(classes: int, tmp_path: Path) -> None:
    few = [take(part, np.flatnonzero(part.y < classes)) for part in (TRAIN, VAL)]
    fit = fit_booster(BoostData(*few), BoostConfig(booster="logistic", reg_lambda=0.01), num_classes=classes)
    (result,) = fit
    mean, spread = few[0].x.mean(0), few[0].x.std(0)
    spread[spread == 0] = 1
    # For two classes scikit-learn has one weight w, Venation +-w/2, whose squares sum to half.
    reference = LogisticRegression(C=(2 if classes == 2 else 1) / (0.01 * len(few[0].y)), max_iter=5000, tol=1e-8)
    # In single precision scikit-learn's solver ends 3e-4 away from the optimum.
    reference.fit((few[0].x.astype(float) - mean) / spread, few[0].y)
    expected = reference.predict_proba((few[1].x.astype(float) - mean) / spread)
    fit.booster.save(tmp_path / "logistic.ubj")
    np.testing.assert_allclose(Booster.load(tmp_path / "logistic.ubj").predict(few[1].x), expected, atol=1e-4)
    assert result.val_logloss == pytest.approx(log_loss(few[1].y, expected, labels=range(classes)), rel=1e-3)


@pytest.mark.parametrize("penalty", [1e-6, 1e-2, 10.0])
def test_the_optimum_is_exact_with_fewer_images_than_features(penalty: float) -> None:
    rng = np.random.default_rng(7)
    # 20 features are multiples of the first and one is constant, so the rank is below the number of
    # images.
    x = rng.normal(size=(30, 50)).astype(np.float32)
    x[:, 1:21] = x[:, [0]] * rng.normal(size=20).astype(np.float32)
    x[:, 2] = 4.0
    y = np.arange(30) % 3
    data = BoostData(Features(x, y, np.full((30, 3), 1 / 3, dtype=np.float32)), None)
    fit = fit_booster(data, BoostConfig(booster="logistic", reg_lambda=penalty), num_classes=3)
    list(fit)
    standard = ((x - data.mean_C) / data.scale_C).astype(np.float64)
    reference = LogisticRegression(C=1 / (penalty * 30), max_iter=20000, tol=1e-9).fit(standard, y)
    assert data.rows.z_NR.shape[1] <= 30
    np.testing.assert_allclose(fit.booster.predict(x), reference.predict_proba(standard), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_equals_converged_gblinear(classes: int) -> None:
    few = take(TRAIN, np.flatnonzero(TRAIN.y < classes))
    ends = []
    for config in (
        BoostConfig(booster="logistic", reg_lambda=0.1),
        BoostConfig(booster="gblinear", reg_lambda=0.1, reg_alpha=0.0, rounds=400, eta=0.5),
    ):
        fit = fit_booster(BoostData(few, None), config, num_classes=classes)
        list(fit)
        ends.append(fit.booster.predict(few.x))
    np.testing.assert_allclose(ends[0], ends[1], atol=5e-3)


def test_logistic_gives_a_class_without_images_a_negligible_probability() -> None:
    few = take(TRAIN, np.flatnonzero(TRAIN.y < 8))
    fit = fit_booster(BoostData(few, VAL), BoostConfig(booster="logistic"), num_classes=10)
    list(fit)
    assert fit.booster.predict(VAL.x)[:, 8:].max() < 1e-6


def test_the_head_is_not_fitted() -> None:
    with pytest.raises(ValueError, match="is not fitted"):
        fit_booster(BoostData(TRAIN, VAL), BoostConfig(booster="head"), num_classes=10)


def test_gblinear_equals_coordinate_descent() -> None:
    config = LINEAR.model_copy(update={"rounds": 5, "patience": 99})
    booster, rounds = fitted(config)
    mean, spread = TRAIN.x.mean(0), TRAIN.x.std(0)
    spread[spread == 0] = 1
    train, val = (xgb.DMatrix((part.x - mean) / spread, part.y, nthread=1) for part in (TRAIN, VAL))
    settings = {"booster": "gblinear", "updater": "coord_descent", "objective": "multi:softprob", "num_class": 10}
    settings |= {"eta": config.eta, "lambda": config.reg_lambda, "alpha": config.reg_alpha}
    settings |= {"nthread": 1, "base_score": 0.5}
    reference = xgb.train(settings, train, num_boost_round=5)
    assert rounds[-1].best
    np.testing.assert_allclose(booster.predict(VAL.x), reference.predict(val), atol=1e-5)


@BOTH
def test_a_saved_booster_gives_the_same_probabilities(config: BoostConfig, tmp_path: Path) -> None:
    booster, _ = fitted(config)
    path = tmp_path / "booster.ubj"
    booster.save(path)
    loaded = Booster.load(path)
    probability = booster.predict(VAL.x)
    assert probability.shape == (300, 10)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(loaded.predict(VAL.x), probability)
    assert [p.name for p in tmp_path.iterdir()] == ["booster.ubj"]


def test_linear_weights_reproduce_the_probabilities() -> None:
    booster, _ = fitted(LINEAR)
    linear = booster.linear()
    assert linear is not None
    weight, bias = linear
    logits = VAL.x.astype(np.float64) @ weight + bias
    expected = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(booster.predict(VAL.x), expected / expected.sum(1, keepdims=True), atol=2e-5)
    assert fitted(TREES)[0].linear() is None


def test_all_fits_of_trees_share_one_pair_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    cut = xgb.QuantileDMatrix

    def counted(*arguments: Any, **options: Any) -> xgb.QuantileDMatrix:
        made.append(cut(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(xgb, "QuantileDMatrix", counted)
    data = BoostData(TRAIN, VAL)
    for config in (TREES, DART, TREES.model_copy(update={"eta": 0.1})):
        next(iter(fit_booster(data, config, num_classes=10)))
    assert [matrix.num_row() for matrix in made] == [len(TRAIN.y), len(VAL.y)]


def test_a_fit_can_be_stopped_early() -> None:
    fit = fit_booster(BoostData(TRAIN, VAL), LINEAR, num_classes=10)
    with pytest.raises(RuntimeError, match="no round is done"):
        _ = fit.booster
    rounds = list(itertools.islice(fit, 2))
    assert log_loss(VAL.y, fit.booster.predict(VAL.x)) == pytest.approx(rounds[-1].val_logloss, rel=1e-4)


def test_constant_features_and_untrained_classes_are_accepted() -> None:
    x = np.concatenate([TRAIN.x, np.full((200, 1), 3, np.float32)], axis=1)[TRAIN.y < 8]
    train = Features(x, TRAIN.y[TRAIN.y < 8], TRAIN.probabilities[TRAIN.y < 8])
    val_x = np.concatenate([VAL.x, np.full((300, 1), 3, np.float32)], axis=1)
    fit = fit_booster(BoostData(train, Features(val_x, VAL.y, VAL.probabilities)), LINEAR, num_classes=10)
    list(fit)
    assert np.isfinite(fit.booster.predict(val_x)).all()


def test_bad_input_is_named(tmp_path: Path) -> None:
    narrow = Features(VAL.x[:, :5], VAL.y, VAL.probabilities)
    with pytest.raises(UserError, match="64 and 5 features"):
        BoostData(TRAIN, narrow)
    broken = Features(np.full_like(TRAIN.x, np.nan), TRAIN.y, TRAIN.probabilities)
    with pytest.raises(TrialFailed, match="not finite") as caught:
        BoostData(broken, VAL)
    assert caught.value.cause == "nan"
    booster, _ = fitted(LINEAR.model_copy(update={"rounds": 1}))
    with pytest.raises(UserError, match="takes N x 64 features, not 300x5"):
        booster.predict(narrow.x)
    with pytest.raises(UserError, match="cannot be written"):
        booster.save(Path("/dev/null/b.ubj"))


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "b.ubj"
    with pytest.raises(UserError, match=r"b\.ubj cannot be read"):
        Booster.load(path)
    path.write_bytes(b"not a booster")
    with pytest.raises(UserError, match="damaged or was not written by venation"):
        Booster.load(path)
    xgb.train({"verbosity": 0}, xgb.DMatrix(VAL.x, VAL.y), 1).save_model(path)
    with pytest.raises(UserError, match="not written by venation"):
        Booster.load(path)


@pytest.mark.parametrize("config", [TREES, DART], ids=["gbtree", "dart"])
def test_rounding_errors_of_features_do_not_change_tree_predictions(config: BoostConfig) -> None:
    """Trees split at training values: a difference of 1e-6 must not change those images."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 30)).astype(np.float32)
    train = Features(x, rng.integers(4, size=200), np.full((200, 4), 0.25, np.float32))
    fit = fit_booster(BoostData(train, None), config.model_copy(update={"rounds": 30}), num_classes=4)
    list(fit)
    moved = fit.booster.predict(x + rng.uniform(-1e-6, 1e-6, x.shape).astype(np.float32))
    assert (np.abs(moved - fit.booster.predict(x)).max(axis=1) > 1e-4).mean() < 0.05


@pytest.mark.parametrize(
    "config",
    [
        BoostConfig(booster="logistic", reg_lambda=0.01),
        LINEAR,
        TREES.model_copy(update={"subsample": 1.0, "colsample": 1.0}),
    ],
    ids=["logistic", "gblinear", "gbtree"],
)
def test_an_image_of_weight_two_counts_as_two_images(config: BoostConfig) -> None:
    """The features are scaled alike, so that only the weights differ."""
    doubled = np.arange(0, 60)
    twice = join(TRAIN, take(TRAIN, doubled))
    weight = np.ones(200)
    weight[doubled] = 2.0
    data = BoostData(twice, None), BoostData(Features(TRAIN.x, TRAIN.y, TRAIN.probabilities, weight), None)
    data[1].mean_C, data[1].scale_C = data[0].mean_C, data[0].scale_C
    ends = []
    for rows in data:
        fit = fit_booster(rows, config.model_copy(update={"rounds": 5}), num_classes=10)
        list(fit)
        ends.append(fit.booster.predict(VAL.x))
    np.testing.assert_allclose(ends[0], ends[1], atol=2e-3)
