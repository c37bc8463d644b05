"""The interval of a share of images."""

from scipy.stats import binomtest


def share_interval(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of the share ``hits / total`` by Wilson 1927.

    It has a width for 0 and for all hits, too, and covers well for few images (Brown, Cai and
    DasGupta 2001, "Interval Estimation for a Binomial Proportion").
    """
    found = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)
