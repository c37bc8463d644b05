"""The trials of a supernet study by group: top-ranked, random, cheapest, widest and recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ..search.handle import StudyHandle
from ..search.oneshot import comparison_points
from ..spaces.space import Scalar
from ..storage import attributes

GROUPS = {
    "top": "top-ranked configs",
    "random": "random configs",
    "cheapest": "cheapest config",
    "widest": "widest config",
    "recipe": "recipe",
}


@dataclass(frozen=True)
class Entry:
    """One trial of a group: the expected value, and the value reached (None before it ends)."""

    group: str
    number: int | None
    state: str
    expected: float | None
    value: float | None
    params: Mapping[str, Scalar]

    @property
    def ended(self) -> bool:
        """Tell whether the trial has ended, or will never run."""
        return self.state not in ("RUNNING", "WAITING")


def group_trials(handle: StudyHandle, ranking: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Return the trials of every group in the order of ``GROUPS``, by a study's ``ranking``."""
    trials = handle.study.get_trials(deepcopy=False)
    groups = {"top": [row["params"] for row in ranking["top"]]} | comparison_points(handle.spec)
    expected = [*ranking["top"], *ranking["started"]]
    return tuple(_entry(group, params, trials, expected) for group, points in groups.items() for params in points)


def _entry(
    group: str, params: Mapping[str, Scalar], trials: Sequence[FrozenTrial], ranking: Sequence[Mapping[str, Any]]
) -> Entry:
    """Return the first trial at a point.

    A waiting trial is found by the point that it is enqueued with.
    """
    expected = next((row["value"] for row in ranking if row["params"] == params), None)
    for trial in trials:
        if (attributes.FIXED_PARAMS.get(trial) or trial.params) == params:
            value = trial.value if trial.state == TrialState.COMPLETE else None
            return Entry(group, trial.number, trial.state.name, expected, value, params)
    return Entry(group, None, "not in the budget", expected, None, params)
