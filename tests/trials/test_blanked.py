"""The weights and the order of images and their blanked copies."""

import numpy as np
import pytest

from venation.trials.blanked import blank_weights, with_blanked
from venation.trials.boost import BoostData
from venation.trials.cross_validation import fold_numbers, split_folds
from venation.trials.features import Features


def draw(images: int, value: float) -> Features:
    return Features(
        np.full((images, 2), value, np.float32) + np.arange(images)[:, None].astype(np.float32),
        np.arange(images) % 2,
        np.full((images, 2), 0.5, np.float32),
    )


@pytest.mark.parametrize(("share", "weights"), [(0.2, (1, 0.25)), (0.5, (1, 1)), (0.75, (1 / 3, 1)), (1.0, (0, 1))])
def test_the_weights_have_the_ratio_of_the_training(share: float, weights: tuple[float, float]) -> None:
    assert blank_weights(share) == pytest.approx(weights)


def test_copies_follow_the_images_and_know_them() -> None:
    masked = np.array([1, 3])
    features, image = with_blanked(draw(4, 0), draw(2, 100), masked, share=0.2)
    assert image.tolist() == [0, 1, 2, 3, 1, 3]
    assert features.x[:, 0].tolist() == [0, 1, 2, 3, 100, 101]
    assert features.weight is not None
    assert features.weight == pytest.approx([1, 1, 1, 1, 0.25, 0.25])


def test_a_fold_learns_from_no_copy_of_an_image_that_it_holds_out_or_stops_by() -> None:
    clean, copies = draw(8, 0), draw(8, 1000)
    views = with_blanked(clean, copies, np.arange(8), share=0.5)
    groups = [str(number) for number in range(8)]
    number = fold_numbers(clean.y, groups, folds=4)
    train = draw(2, -50)
    for fold, part in enumerate(split_folds(train, clean, groups, folds=4, views=views)):
        assert part.held_out.x.max() < 1000
        learnt = np.flatnonzero((number != fold) & (number != (fold + 1) % 4))
        expected = np.concatenate([train.x[:, 0], clean.x[learnt, 0], copies.x[learnt, 0]])
        mean, scale = part.data.mean_C, part.data.scale_C
        assert isinstance(part.data, BoostData)
        assert len(part.data.y_N) == len(expected)
        np.testing.assert_allclose(mean[0], expected.mean(), rtol=1e-5)
        np.testing.assert_allclose(scale[0], expected.std(), rtol=1e-5)
