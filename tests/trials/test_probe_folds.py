import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from venation.errors import DataError
from venation.trials.features import Features
from venation.trials.probe_folds import ALWAYS_TRAINS, held_out_probabilities, stratified_folds


def make_features(images: int = 48, classes: int = 4, shift: float = 0.0) -> Features:
    """Return features of overlapping clusters, all moved by ``shift``."""
    rng = np.random.default_rng(0)
    y = np.arange(images) % classes
    x = rng.normal(size=(images, 6)) + 1.5 * rng.normal(size=(classes, 6))[y] + shift
    return Features(x.astype(np.float32), y, np.zeros((images, classes), np.float32))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_answers_are_those_of_scikit_learns_cross_validation(shift: float) -> None:
    plain, moved = make_features(), make_features(shift=shift)
    fold_N = stratified_folds(plain.y, [str(i) for i in range(48)], folds=5, seed=3)
    found = held_out_probabilities(plain, fold_N, num_classes=4, changed=moved if shift else None)
    # scikit-learn fits float32 in float32.
    x, other = plain.x.astype(np.float64), moved.x.astype(np.float64)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=5000, tol=1e-9))
    if shift:
        expected = np.zeros((48, 4))
        for train, test in PredefinedSplit(fold_N).split():
            expected[test] = pipeline.fit(x[train], plain.y[train]).predict_proba(other[test])
    else:
        expected = cross_val_predict(pipeline, x, plain.y, cv=PredefinedSplit(fold_N), method="predict_proba")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_folds_keep_groups_whole_and_spread_the_classes() -> None:
    labels = np.repeat(np.arange(3), 20)
    groups = [f"{label}-{index // 2}" for index, label in enumerate(labels)]
    fold_N = stratified_folds(labels, groups, folds=5, seed=0)
    assert all(len({fold for fold, g in zip(fold_N, groups, strict=True) if g == group}) == 1 for group in groups)
    counts = np.array([[np.sum((labels == label) & (fold_N == fold)) for fold in range(5)] for label in range(3)])
    np.testing.assert_array_equal(counts, 4)


def test_a_class_of_one_group_always_trains() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    groups = ["a", "b", "c", "d", "e", "f", "f", "g"]
    fold_N = stratified_folds(labels, groups, folds=5, seed=0)
    np.testing.assert_array_equal(fold_N[5:], ALWAYS_TRAINS)
    # As many folds as the largest class has groups, and two images of a class in two folds.
    assert sorted(fold_N[:3]) == [0, 1, 2] and fold_N[3] != fold_N[4]


@pytest.mark.parametrize("seed", range(20))
def test_every_class_is_trained_on_in_every_fold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 4, 24), np.arange(4).repeat(2))
    groups = rng.integers(0, 9, 24).astype(str).tolist() + [f"own-{i}" for i in range(8)]
    fold_N = stratified_folds(labels, groups, folds=5, seed=seed)
    for fold in range(fold_N.max() + 1):
        assert set(labels[fold_N != fold]) == {0, 1, 2, 3}


def test_classes_of_one_image_each_are_refused() -> None:
    with pytest.raises(DataError, match="every class has one image or one group"):
        stratified_folds(np.arange(5), list("abcde"), folds=5, seed=0)


def test_a_group_of_two_classes_that_always_trains_gives_no_fold() -> None:
    # Four of the six groups of class 0 hold all images of another class.
    labels, groups = np.array([0] * 6 + [1, 2, 3, 4]), list("abcdef") + list("abcd")
    fold_N = stratified_folds(labels, groups, folds=5, seed=0)
    assert sorted(fold_N[4:6]) == [0, 1]
    np.testing.assert_array_equal(np.delete(fold_N, [4, 5]), ALWAYS_TRAINS)
    with pytest.raises(DataError, match="apart from groups that hold all images of another class"):
        stratified_folds(np.array([0, 0, 1, 2]), list("abab"), folds=2, seed=0)
