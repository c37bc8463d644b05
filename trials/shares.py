"""The interval of a share of images; light to import."""

import math

# The 97.5 % quantile of the normal distribution.
_Z = 1.959963984540054


def share_interval(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of the share ``hits / total`` by Wilson 1927.

    It has a width for 0 and for all hits, too, and covers well for few images (Brown, Cai and
    DasGupta 2001, "Interval Estimation for a Binomial Proportion").
    """
    share, spread = hits / total, _Z**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == total else centre + half)
