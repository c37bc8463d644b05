"""The verdict of a signal check in words: search, use the cheapest point, or measure more.

Shapes: P points, S seeds.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..models.cost import Cost
from ..search.spec import Direction
from ..spaces.space import Scalar
from ..trials.trial_config import TrialConfig
from .variance import Floats, Variance


@dataclass(frozen=True)
class Point:
    """One point of a space: its config, its coordinates, and what its network costs."""

    number: int
    config: TrialConfig
    params: Mapping[str, Scalar]
    cost: Cost

    def describe(self) -> str:
        """Return the point in a few words."""
        where = ", ".join(f"{name}={_short(value)}" for name, value in self.params.items())
        return f"point {self.number} ({where}; {self.cost.trainable:,} trainable parameters, {self.cost.macs:,} MACs)"


@dataclass(frozen=True, eq=False)
class Verdict:
    """The result of a signal check.

    ``causes`` maps the numbers of the points that could not be trained to their causes. ``trials``
    is the budget whose gain is estimated. A training has ``epochs`` epochs in the check and
    ``full_epochs`` in the study. ``forbidden`` is the number of sampled points that break a
    constraint of the study. ``exhausted`` means that the space has no more points.
    """

    variance: Variance
    points: tuple[Point, ...]
    values_PS: Floats
    causes: Mapping[int, str]
    objective: str = field(kw_only=True)
    direction: Direction = field(kw_only=True)
    trials: int = field(kw_only=True)
    epochs: int = field(kw_only=True)
    full_epochs: int = field(kw_only=True)
    forbidden: int = field(default=0, kw_only=True)
    exhausted: bool = field(default=False, kw_only=True)

    @property
    def cheapest(self) -> Point:
        """Return the point with the fewest MACs, then parameters.

        The first of equal points wins, which is trial 0's config if all cost the same.
        """
        return min(self.points, key=lambda point: (point.cost.macs, point.cost.parameters, point.number))

    @property
    def text(self) -> str:
        """Return the verdict and the advice in two or three sentences."""
        words = {"signal": self._signal, "noise": self._noise, "unclear": self._unclear}[self.variance.outcome]()
        if self.causes:
            number, cause = min(self.causes.items())
            words += (
                f" Left out: {len(self.causes)} points that cannot be trained, the first is point {number} ({cause})."
            )
        if self.forbidden:
            words += f" Not trained: {self.forbidden} sampled points that break a constraint of the study."
        return words

    def record(self) -> dict[str, Any]:
        """Return outcome, text, figures and points as plain data."""
        variance = self.variance
        within = variance.within or None
        return {
            "outcome": variance.outcome,
            "text": self.text,
            "objective": self.objective,
            "epochs": self.epochs,
            **asdict(variance),
            "trials": self.trials,
            "best_of_trials": variance.best_of(self.trials),
            "gain": variance.gain(self.trials),
            "gain_high": variance.gain_high(self.trials),
            "gain_in_seed_stds": within and variance.gain(self.trials) / within,
            "cheapest": self.cheapest.number,
            "forbidden": self.forbidden,
            "exhausted": self.exhausted,
            "points": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each point: mean and deviation over the seeds, cost, coordinates."""
        return [
            {
                "point": point.number,
                self.objective: float(values_S.mean()),
                "std": float(values_S.std(ddof=1)),
                "values": values_S.tolist(),
                "trainable": point.cost.trainable,
                "macs": point.cost.macs,
                "params": dict(point.params),
            }
            for point, values_S in zip(self.points, self.values_PS, strict=True)
        ]

    def _signal(self) -> str:
        variance = self.variance
        return (
            f"Signal: the standard deviation is {variance.between:.2g} {self.objective} between points and"
            f" {variance.within:.2g} between seeds; {self._tau()}. A search of {self.trials} trials is expected to end"
            f" about {variance.gain(self.trials):.2g} {self._better()} a random point. Search this space."
        )

    def _noise(self) -> str:
        variance = self.variance
        # If all points cost the same, the cheapest is trial 0's config.
        return (
            "Noise: the points do not differ by more than the noise of a seed. The standard deviation is"
            f" {variance.between:.2g} {self.objective} between points and {variance.within:.2g} between seeds;"
            f" {self._tau()}. A search of {self.trials} trials could end at most"
            f" {variance.gain_high(self.trials):.2g} {self._better()} a random point. Do not search this space: use its"
            f" cheapest config, {self.cheapest.describe()}, or search another space."
        )

    def _unclear(self) -> str:
        variance = self.variance
        reason, next_step = self._next_step()
        return (
            f"Unclear, {reason}: the standard deviation is {variance.between:.2g} {self.objective} between points and"
            f" {variance.within:.2g} between seeds (p={variance.p:.2g}); {self._tau()}. Next step: {next_step}. A"
            " check with more points or seeds reuses the finished trainings."
        )

    def _next_step(self) -> tuple[str, str]:
        """Return why the check is unclear, and the options for the next one."""
        variance = self.variance
        seeds = variance.seeds_to_settle()
        if variance.p < 0.05:
            advice = self._longer()
            if self.epochs == self.full_epochs:
                advice += " (more seeds do not help a search that trains each config once)"
            return "the points differ, but single trainings rank them poorly", advice
        if seeds is not None:
            return "too few seeds", f"`--seeds {seeds}` detects a difference of this size in 8 of 10 checks"
        if self.exhausted:
            advice = f"`--seeds {2 * variance.seeds}` for a narrower interval; or {self._longer()}"
            return "too few results, and the space has no more points", advice
        return "too few points", f"`--points {2 * variance.points}` for a narrower interval; or {self._longer()}"

    def _longer(self) -> str:
        if self.epochs < self.full_epochs:
            return f"longer trainings with `--epochs {min(self.full_epochs, 2 * self.epochs)}`"
        return "a space whose choices differ more"

    def _tau(self) -> str:
        variance = self.variance
        interval = f"95 % interval {variance.tau_low:.2f} to {variance.tau_high:.2f}"
        return f"Kendall's tau between two seeds is {variance.tau:.2f} ({interval})"

    def _better(self) -> str:
        return f"{self.objective} {'above' if self.direction == 'maximize' else 'below'}"


def _short(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value)
