import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap

from venation.trials.paired import PairedDifference, compare_paired, describe_difference

Flags = NDArray[np.bool_]


def answers(both: int, gained: int, lost: int, neither: int) -> tuple[Flags, Flags]:
    """Return two classifiers' answers with these numbers of images, shuffled."""
    first = np.repeat([True, True, False, False], [both, gained, lost, neither])
    second = np.repeat([True, False, True, False], [both, gained, lost, neither])
    order = np.random.default_rng(1).permutation(len(first))
    return first[order], second[order]


@pytest.mark.parametrize("counts", [(40, 12, 3, 12), (150, 4, 30, 16), (60, 0, 0, 7)])
def test_interval_is_scipys_paired_bootstrap(counts: tuple[int, int, int, int]) -> None:
    first, second = answers(*counts)
    found = compare_paired(first, second)

    def difference(a: Flags, b: Flags, axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(a.mean(axis=axis) - b.mean(axis=axis))

    expected = bootstrap(
        (first.astype(float), second.astype(float)),
        difference,
        n_resamples=10_000,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    # The bounds are multiples of one image; two seeds may differ by one.
    step = 1.01 / len(first)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert found.low == pytest.approx(expected.low, abs=step) and found.high == pytest.approx(expected.high, abs=step)
    assert found == compare_paired(first, second)


def test_p_value_is_mcnemars_exact_one() -> None:
    # Worked by hand: 2 * (1 + 5) / 2^5 for 4 against 1.
    found = compare_paired(*answers(20, 4, 1, 3))
    assert (found.images, found.gained, found.lost) == (28, 4, 1)
    assert found.p_value == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("bounds", "p_value", "says"),
    [
        ((4.1, 1.2, 7.0), 0.01, "trial 3 beats the linear probe by 4.1 points (1.2 to 7.0) on 67 validation images"),
        ((-4.1, -7.0, -1.2), 0.01, "trial 3 is worse than the linear probe: -4.1 points (-7.0 to -1.2) on 67 valid"),
        ((-0.5, -4.0, 3.0), 0.9, "trial 3 is not better than the linear probe: -0.5 points (-4.0 to 3.0) on 67 valid"),
        ((0.0, 0.0, 0.0), 1.0, "trial 3 is not better than the linear probe: 0.0 points (0.0 to 0.0) on 67 validation"),
    ],
)
def test_sentence_names_the_verdict(bounds: tuple[float, float, float], p_value: float, says: str) -> None:
    difference, low, high = (bound / 100 for bound in bounds)
    found = PairedDifference(67, difference, low, high, gained=0, lost=0, p_value=p_value)
    assert describe_difference(found, first="trial 3", images="validation").startswith(says)


def test_few_differing_images_are_no_proof() -> None:
    found = compare_paired(*answers(60, 4, 0, 3))
    assert found.low > 0 and found.verdict == "even"
    sentence = describe_difference(found, first="trial 3", images="test")
    assert sentence.startswith("trial 3 is not better than the linear probe: 6.0 points")
    assert sentence.endswith("on 67 test images, which may be chance (McNemar's test: p = 0.12)")


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        compare_paired(np.zeros(0, bool), np.zeros(0, bool))


def test_difference_can_be_stored_and_read() -> None:
    found = compare_paired(*answers(10, 3, 1, 2))
    assert PairedDifference(**found.__dict__) == found
