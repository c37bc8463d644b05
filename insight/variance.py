"""Analysis of variance: do points of a search space differ by more than the noise of their seeds?

The layout is crossed: every point is trained with every seed, and all trainings with one seed read
the data in the same order. The table is analysed as random effects of points and seeds, value =
mean + point + seed + rest. An effect of a seed on all points alike cannot mislead a search, so only
the rest is noise. If seeds have no common effect, this is the one-way analysis with fewer degrees
of freedom.

Shapes: P points, S seeds, R resamples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Outcome = Literal["signal", "noise", "unclear"]
Floats = NDArray[np.float64]

ALPHA = 0.05
CEILING = 0.5  # lowest useful reliability, or tau, of a ranking by single trainings
RESAMPLES = 2000
POWER = 0.8
MAX_SEEDS = 12


@dataclass(frozen=True)
class Variance:
    """The analysis of a table of values; standard deviations are in the unit of the values.

    ``between`` is the spread of the points without the noise (0 if noise explains all of it), at
    most ``between_high`` (95 %). ``within`` is the spread that a seed adds to one point, ``common``
    the spread that it adds to all points. ``p`` is the p-value of the F test for equal points.
    ``reliability`` is the share of the points in the variance of one training (at least
    ``reliability_low``, 95 %), and ``reliability_mean`` their share in the variance of the mean
    over the seeds (Spearman-Brown). ``tau`` is the mean Kendall tau-b between two seeds with a 95 %
    interval: the ceiling of any ranking by single trainings.
    """

    points: int
    seeds: int
    between: float
    between_high: float
    within: float
    common: float
    p: float
    reliability: float
    reliability_low: float
    reliability_mean: float
    tau: float
    tau_low: float
    tau_high: float

    @property
    def outcome(self) -> Outcome:
        """Return the verdict.

        ``signal``: the F test finds a difference (p < 0.05), and a ranking by single trainings is
        informative: tau or the reliability is at least 0.5 and the interval of tau lies above 0, or
        the reliability is at least 0.5 at the lower end of its interval (where one choice ruins the
        result and the others are alike, tau stays small). ``noise``: no difference is found, and
        the interval of tau lies below 0.5. ``unclear``: everything else.
        """
        found = self.p < ALPHA
        likely = max(self.tau, self.reliability) >= CEILING and self.tau_low > 0
        ranked = likely or self.reliability_low >= CEILING
        if found and ranked:
            return "signal"
        return "noise" if not found and self.tau_high < CEILING else "unclear"

    def best_of(self, trials: int) -> float:
        """Return the expected lead of the best of ``trials`` random points over their mean."""
        return expected_maximum(trials) * self.between

    def gain(self, trials: int) -> float:
        """Return the expected lead over the mean of the point that scores best in one training.

        It is less than ``best_of``, because the best score is in part luck (the breeder's equation,
        selection differential times reliability).
        """
        return self.best_of(trials) * self.reliability**0.5

    def gain_high(self, trials: int) -> float:
        """Return ``gain`` with ``between`` at the upper end of its interval."""
        return expected_maximum(trials) * self.between_high * _share(self.between_high, self.within) ** 0.5

    def seeds_to_settle(self) -> int | None:
        """Return the least number of seeds for the F test to detect this spread in 8 of 10 checks.

        None if that takes more than 12 seeds, or if there is no spread.
        """
        if self.between == 0 or self.within == 0:
            return None
        ratio = (self.between / self.within) ** 2
        for seeds in range(self.seeds + 1, MAX_SEEDS + 1):
            freedom = (self.points - 1, (self.points - 1) * (seeds - 1))
            critical = stats.f.isf(ALPHA, *freedom)
            if stats.f.sf(critical / (1 + seeds * ratio), *freedom) >= POWER:
                return seeds
        return None


def analyse(values_PS: Floats, *, seed: int = 0) -> Variance:
    """Analyse a table of at least three points and two seeds.

    Raises ValueError for a smaller table, or one with values that are not finite.
    """
    if values_PS.ndim != 2 or values_PS.shape[0] < 3 or values_PS.shape[1] < 2 or not np.isfinite(values_PS).all():
        raise ValueError(f"a finite table of 3 points x 2 seeds or more is needed, not one of shape {values_PS.shape}")
    points, seeds = values_PS.shape
    point_P, seed_S, mean = values_PS.mean(axis=1), values_PS.mean(axis=0), values_PS.mean()
    rest_PS = values_PS - point_P[:, None] - seed_S + mean
    freedom = (points - 1, (points - 1) * (seeds - 1))
    # Equal values leave rounding errors behind, not a variance.
    tiny = (1e-12 * float(np.abs(values_PS).max())) ** 2
    of_points, of_seeds, of_rest = (
        0.0 if square <= tiny else square
        for square in (
            seeds * float(point_P.var(ddof=1)),
            points * float(seed_S.var(ddof=1)),
            float((rest_PS**2).sum()) / freedom[1],
        )
    )
    within = of_rest**0.5
    between = _spread(of_points, of_rest, seeds)
    # The limits are exact for the ratio of the two variances (Shrout and Fleiss 1979), here at the
    # estimated noise.
    between_low = _spread(of_points / stats.f.isf(ALPHA / 2, *freedom), of_rest, seeds)
    share = _share(between, within)
    tau, tau_low, tau_high = mean_tau(values_PS, seed=seed)
    return Variance(
        points=points,
        seeds=seeds,
        between=between,
        between_high=_spread(of_points / stats.f.ppf(ALPHA / 2, *freedom), of_rest, seeds),
        within=within,
        common=_spread(of_seeds, of_rest, points),
        p=float(stats.f.sf(of_points / of_rest, *freedom)) if of_rest else float(of_points == 0),
        reliability=share,
        reliability_low=_share(between_low, within),
        reliability_mean=seeds * share / (1 + (seeds - 1) * share),
        tau=tau,
        tau_low=tau_low,
        tau_high=tau_high,
    )


def mean_tau(values_PS: Floats, *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float, float]:
    """Return the mean Kendall tau-b of all pairs of seeds, with a 95 % bootstrap interval.

    The interval is a percentile interval over resamples of the points with replacement; a pair of a
    point with itself is a tie and does not count. If a seed gives every point the same value, there
    is no ranking and tau is 0.
    """
    points, seeds = values_PS.shape
    # Sampling P of P points with replacement, as the count of each point.
    times_RP = np.random.default_rng(seed).multinomial(points, np.full(points, 1 / points), size=resamples)
    weights_RP = np.concatenate([np.ones((1, points)), times_RP])
    signs_SPP = np.sign(values_PS.T[:, :, None] - values_PS.T[:, None, :])

    def total(signs_PP: Floats) -> Floats:
        return ((weights_RP @ signs_PP) * weights_RP).sum(axis=1)

    ranked_SR = [total(np.abs(signs_PP)) for signs_PP in signs_SPP]
    taus = []
    for one in range(seeds):
        for other in range(one + 1, seeds):
            scale_R = np.sqrt(ranked_SR[one] * ranked_SR[other])
            agreement_R = total(signs_SPP[one] * signs_SPP[other])
            taus.append(np.divide(agreement_R, scale_R, out=np.zeros_like(scale_R), where=scale_R > 0))
    tau_R = np.mean(taus, axis=0)
    low, high = np.percentile(tau_R[1:], (100 * ALPHA / 2, 100 * (1 - ALPHA / 2)))
    return float(tau_R[0]), float(low), float(high)


def expected_maximum(count: int) -> float:
    """Return the expected largest of ``count`` draws from the standard normal distribution."""
    grid = np.linspace(-9, 9, 6001)
    density = count * stats.norm.pdf(grid) * stats.norm.cdf(grid) ** (count - 1)
    return float(np.trapezoid(grid * density, grid))


def _spread(of_means: float, of_rest: float, count: int) -> float:
    """Return the standard deviation of effects, from the mean square of means of ``count`` values.

    It is 0 if noise explains the mean square.
    """
    return float(max(0.0, (of_means - of_rest) / count) ** 0.5)


def _share(between: float, within: float) -> float:
    return between**2 / (between**2 + within**2) if between else 0.0
