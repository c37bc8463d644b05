"""Did the supernet's ranking find anything? Its best few beside random points, the cheapest one, and the noise."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from ..errors import UsageError, UserError
from ..spaces.space import Scalar
from ..trials.variance import mean_tau
from .lease import StudyHandle
from .oneshot import ONESHOT, rivals
from .signal import SIGNAL

_GROUPS = {"top": "the best of the ranking", "random": "random points", "cheapest": "the cheapest"}
_LEAST_RANKED = 5  # trials below which a rank correlation says nothing


@dataclass(frozen=True)
class Entry:
    """One trial of a group: what the ranking expected of its point, and what it reached, None where it has not."""

    group: str
    number: int | None
    state: str
    expected: float | None
    value: float | None
    params: Mapping[str, Scalar]

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.state not in ("RUNNING", "WAITING")


@dataclass(frozen=True)
class OneshotVerdict:
    """What came of a ranking. ``noise`` is the standard deviation between seeds, None if nobody has measured it.

    ``cost`` and ``alone`` are in seconds: of the supernet with its ranking, and of one of the trials after it.
    """

    entries: tuple[Entry, ...]
    objective: str
    sign: int
    noise: float | None
    ranked: int
    cost: float
    alone: float | None

    @property
    def outcome(self) -> str:
        """``won``, ``no better`` (within the noise of a seed), ``lost`` or, while trials are to come, ``pending``.

        Won is above the noise better than the best of all rivals; without a known noise, better at all.
        """
        if self._open() or self._best("top") is None or self._rival() is None:
            return "pending"
        lead = self._lead()
        noise = self.noise or 0.0
        return "won" if lead > noise else "lost" if lead < -noise else "no better"

    @property
    def text(self) -> str:
        """The verdict in words."""
        words = {"won": self._won, "no better": self._even, "lost": self._lost, "pending": self._pending}
        parts = [words[self.outcome](), self._costs(), self._agreement(), self._noise()]
        return " ".join(part for part in parts if part)

    def record(self) -> dict[str, Any]:
        """Everything as plain data."""
        best = {group: entry.value for group in _GROUPS if (entry := self._best(group))}
        return {
            "outcome": self.outcome,
            "text": self.text,
            "objective": self.objective,
            "ranked": self.ranked,
            "noise": self.noise,
            "best": best,
            "supernet_seconds": self.cost,
            "trial_seconds": self.alone,
            "trials": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each trial of each group."""
        return [
            {
                "group": entry.group,
                "trial": entry.number,
                "state": entry.state,
                "expected": entry.expected,
                self.objective: entry.value,
                "params": dict(entry.params),
            }
            for entry in self.entries
        ]

    def _of(self, group: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.group == group]

    def _open(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.ended]

    def _first(self, entries: Iterable[Entry]) -> Entry | None:
        done = [(self.sign * entry.value, entry) for entry in entries if entry.value is not None]
        return max(done, key=lambda pair: pair[0])[1] if done else None

    def _best(self, group: str) -> Entry | None:
        return self._first(self._of(group))

    def _rival(self) -> Entry | None:
        return self._first([*self._of("random"), *self._of("cheapest")])

    def _lead(self) -> float:
        top, rival = self._best("top"), self._rival()
        assert top is not None and rival is not None and top.value is not None and rival.value is not None
        return self.sign * (top.value - rival.value)

    def _said(self) -> str:
        said = []
        for group, words in _GROUPS.items():
            best, count = self._best(group), len(self._of(group))
            reached = "nothing" if best is None else f"{best.value:.4g}"
            said.append(f"{words} ({count}) reached {reached}")
        return ", ".join(said) + f" {self.objective}"

    def _won(self) -> str:
        best = self._best("top")
        assert best is not None
        return f"The shortcut won: {self._said()}. Take trial {best.number}."

    def _even(self) -> str:
        return (
            f"The shortcut won nothing: {self._said()}, a difference within the noise of a seed. Search these widths at"
            f" random, or take what costs least and is as good, here trial {self._thrifty()}."
        )

    def _lost(self) -> str:
        rival = self._rival()
        assert rival is not None
        return f"The shortcut lost: {self._said()}. Take trial {rival.number} ({rival.group}), and rank by trainings."

    def _pending(self) -> str:
        numbers = ", ".join(str(entry.number) for entry in self._open())
        if numbers:
            return f"Not decided yet: trials {numbers} have still to end."
        return f"Not decided: {self._said()}, and without a finished trial on both sides there is nothing to compare."

    def _thrifty(self) -> int | None:
        """The cheapest point's trial if it lies within the noise of the best, else the best of all."""
        best, cheapest = self._first(self.entries), self._best("cheapest")
        assert best is not None and best.value is not None
        if cheapest is None or cheapest.value is None:
            return best.number
        behind = self.sign * (best.value - cheapest.value)
        return cheapest.number if behind <= (self.noise or 0.0) else best.number

    def _costs(self) -> str:
        if not self.alone:
            return ""
        return f"Training the supernet and ranking {self.ranked} points took {self.cost / self.alone:.1f} trainings."

    def _agreement(self) -> str:
        """Kendall's tau between what was expected and what was reached, over all points trained alone."""
        pairs = {
            e.number: (e.expected, e.value) for e in self.entries if e.number and None not in (e.expected, e.value)
        }
        if len(pairs) < _LEAST_RANKED:
            return ""
        tau, low, high = mean_tau(np.array(list(pairs.values()), dtype=np.float64))
        return f"Over {len(pairs)} trials alone its ranking agrees with tau {tau:.2f} ({low:.2f} to {high:.2f})."

    def _noise(self) -> str:
        if self.noise is None:
            return "How much a seed alone changes is not known: `venation study signal` measures it."
        return f"A seed alone changes {self.noise:.2g}."


def judge_oneshot(handle: StudyHandle) -> OneshotVerdict:
    """The verdict on a study's ranking, from its trials as they are now.

    Raises UsageError for a study without a supernet, UserError for one whose trial 0 has not ranked anything yet.
    """
    name, spec = handle.study.study_name, handle.spec
    if spec.search != "oneshot":
        raise UsageError(f"study `{name}` trains no supernet; create one with `--search oneshot`.")
    record: Mapping[str, Any] | None = handle.study.user_attrs.get(ONESHOT)
    trials = handle.study.get_trials(deepcopy=False)
    if record is None:
        why = f"{trials[0].state.name}: {trials[0].user_attrs.get('cause', 'its supernet has still to be trained')}"
        raise UserError(f"study `{name}` has no ranking, its trial 0 is {why}; see `venation study trials {name}`.")
    groups = {"top": [row["params"] for row in record["top"]]} | rivals(spec)
    expected = [*record["top"], *record["started"]]
    entries = [_entry(group, params, trials, expected) for group, points in groups.items() for params in points]
    done = [t.duration.total_seconds() for t in trials[1:] if t.state == TrialState.COMPLETE and t.duration is not None]
    return OneshotVerdict(
        tuple(entries),
        objective=spec.objective,
        sign=spec.signs[0],
        noise=handle.study.user_attrs.get(SIGNAL, {}).get("within"),
        ranked=record["ranked"],
        cost=record["train_seconds"] + record["rank_seconds"],
        alone=float(np.median(done)) if done else None,
    )


def _entry(
    group: str, params: Mapping[str, Scalar], trials: Sequence[FrozenTrial], ranking: Sequence[Mapping[str, Any]]
) -> Entry:
    """The trial at a point: the first of several, and one that is still to start by the point that it is to take."""
    expected = next((row["value"] for row in ranking if row["params"] == params), None)
    for trial in trials:
        if trial.system_attrs.get("fixed_params", trial.params) == params:
            value = trial.value if trial.state == TrialState.COMPLETE else None
            return Entry(group, trial.number, trial.state.name, expected, value, params)
    return Entry(group, None, "not in the budget", expected, None, params)
