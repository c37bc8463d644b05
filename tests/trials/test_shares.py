"""Wilson's interval against SciPy."""

import pytest
from scipy.stats import binomtest

from venation.trials.shares import share_interval


@pytest.mark.parametrize(("hits", "total"), [(0, 1), (1, 1), (0, 27), (27, 27), (3, 8), (4999, 10_000)])
def test_the_interval_is_that_of_scipy(hits: int, total: int) -> None:
    expected = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert share_interval(hits, total) == pytest.approx((expected.low, expected.high), abs=1e-12)
