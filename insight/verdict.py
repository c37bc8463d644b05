"""Put the figures of a signal check into words: search, take the cheapest point, or measure more.

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
        return f"point {self.number} ({where}; {self.cost.trainable:,} trained parameters, {self.cost.macs:,} MACs)"


@dataclass(frozen=True, eq=False)
class Verdict:
    """The result of a check. ``causes`` are of the points that could not be trained, by number;
    ``trials`` is the budget whose gain is estimated; ``epochs`` is the length of a training here,
    ``full_epochs`` in the study. ``forbidden`` points were drawn and break a constraint of the
    study; ``exhausted`` where the space has no more points."""

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
        """Return the point of the fewest MACs, then parameters.

        Of equal ones the earlier, so trial 0's config.
        """
        return min(self.points, key=lambda point: (point.cost.macs, point.cost.parameters, point.number))

    @property
    def text(self) -> str:
        """Return the verdict and the advice in two or three sentences."""
        words = {"signal": self._signal, "noise": self._noise, "unclear": self._unclear}[self.variance.outcome]()
        if self.causes:
            number, cause = min(self.causes.items())
            words += f" Left out: {len(self.causes)} points that cannot be trained, the first is {number} ({cause})."
        if self.forbidden:
            words += f" Not trained: {self.forbidden} points that were drawn and break a constraint of the study."
        return words

    def record(self) -> dict[str, Any]:
        """Return outcome, text, figures and points as plain data."""
        seen = self.variance
        within = seen.within or None
        return {
            "outcome": seen.outcome,
            "text": self.text,
            "objective": self.objective,
            "epochs": self.epochs,
            **asdict(seen),
            "trials": self.trials,
            "best_of_trials": seen.best_of(self.trials),
            "gain": seen.gain(self.trials),
            "gain_high": seen.gain_high(self.trials),
            "gain_in_seed_stds": within and seen.gain(self.trials) / within,
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
        seen = self.variance
        return (
            f"Signal: points differ by {seen.between:.2g} {self.objective} (std), a seed adds {seen.within:.2g};"
            f" {self._tau()}. A search of {self.trials} trials should end about {seen.gain(self.trials):.2g}"
            f" {self._better()} a random point. Search this space."
        )

    def _noise(self) -> str:
        seen = self.variance
        # If all points cost the same, the cheapest is trial 0's config.
        return (
            f"Noise: the points lie within noise here ({seen.between:.2g} {self.objective} between them beside"
            f" {seen.within:.2g} from a seed, {self._tau()}). A search of {self.trials} trials could end at most"
            f" {seen.gain_high(self.trials):.2g} {self._better()} a random point. Do not search: take the cheapest,"
            f" {self.cheapest.describe()}, or search another space."
        )

    def _unclear(self) -> str:
        seen = self.variance
        seeds = seen.seeds_to_settle()
        if seen.p < 0.05:
            why, settle = "the points differ, but one training each hardly ranks them", self._longer()
            if self.epochs == self.full_epochs:
                settle += " (seeds do not help a search that trains each point once)"
        elif seeds is not None:
            why, settle = "too few seeds to tell", f"`--seeds {seeds}` would find a spread like this in 8 of 10 checks"
        elif self.exhausted:
            why = "too little to tell, and these are all points of the space"
            settle = f"`--seeds {2 * seen.seeds}` would narrow it; or {self._longer()}"
        else:
            why, settle = "too few points to tell", f"`--points {2 * seen.points}` would narrow it; or {self._longer()}"
        return (
            f"Unclear, {why}: {seen.between:.2g} {self.objective} between points, {seen.within:.2g} from a seed"
            f" (p={seen.p:.2g}), {self._tau()}. What would settle it: {settle}. What is trained already counts."
        )

    def _longer(self) -> str:
        if self.epochs < self.full_epochs:
            return f"longer trainings, `--epochs {min(self.full_epochs, 2 * self.epochs)}`"
        return "bolder choices in the space"

    def _tau(self) -> str:
        seen = self.variance
        return f"two seeds rank them alike with tau {seen.tau:.2f} ({seen.tau_low:.2f} to {seen.tau_high:.2f})"

    def _better(self) -> str:
        return f"{self.objective} {'above' if self.direction == 'maximize' else 'below'}"


def _short(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value)
