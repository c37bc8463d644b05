"""Compare a supernet's best-ranked configs with random, cheapest, widest and recipe configs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import TrialState

from ..errors import UsageError, UserError
from ..search.handle import StudyHandle
from ..search.oneshot import EXTRA_RANDOM
from ..search.ties import ties_first
from ..storage import attributes
from .oneshot_groups import GROUPS, Entry, group_trials
from .variance import mean_tau

_LEAST_RANKED = 5  # smallest number of trials for a meaningful rank correlation


@dataclass(frozen=True)
class OneshotVerdict:
    """The result of a ranking.

    ``noise`` is the standard deviation between seeds, None if it was not measured.

    ``best`` is the number and value of the study's best finished trial of any group. ``cost`` is
    the time in seconds of the supernet and its ranking, ``alone`` that of one later trial.
    """

    entries: tuple[Entry, ...]
    objective: str
    sign: int
    noise: float | None
    best: tuple[int, float] | None
    ranked: int
    cost: float
    alone: float | None

    @property
    def outcome(self) -> str:
        """Return ``won``, ``no better`` (within a seed's noise), ``lost`` or ``pending``.

        It is pending while trials remain.

        The ranking has won if its best trial beats the best rival by more than the noise, or at all
        without one.
        """
        if self._open() or self._best("top") is None or self._rival() is None:
            return "pending"
        lead = self._lead()
        noise = self.noise or 0.0
        return "won" if lead > noise else "lost" if lead < -noise else "no better"

    @property
    def text(self) -> str:
        """Return the verdict in words."""
        words = {"won": self._won, "no better": self._even, "lost": self._lost, "pending": self._pending}
        parts = [words[self.outcome](), self._unfair(), self._costs(), self._agreement(), self._noise()]
        return " ".join(part for part in parts if part)

    def record(self) -> dict[str, Any]:
        """Return everything as plain data."""
        best = {group: entry.value for group in GROUPS if (entry := self._best(group))}
        return {
            "outcome": self.outcome,
            "text": self.text,
            "objective": self.objective,
            "ranked": self.ranked,
            "noise": self.noise,
            "best": best,
            "best_of_all": self.best and self.best[0],
            "supernet_seconds": self.cost,
            "trial_seconds": self.alone,
            "trials": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each trial of each group."""
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
        return self._first(entry for entry in self.entries if entry.group != "top")

    def _lead(self) -> float:
        top, rival = self._best("top"), self._rival()
        assert top is not None and rival is not None and top.value is not None and rival.value is not None
        return self.sign * (top.value - rival.value)

    def _behind(self, entry: Entry) -> float:
        """Return the lead of the study's best trial over this one."""
        assert self.best is not None and entry.value is not None
        return self.sign * (self.best[1] - entry.value)

    def _results(self) -> str:
        reports = []
        for group, words in GROUPS.items():
            best, count = self._best(group), len(self._of(group))
            reached = "none finished" if best is None else f"{best.value:.4g}"
            reports.append(f"{words} ({count}): {reached}")
        return f"best {self.objective} of " + ", ".join(reports)

    def _won(self) -> str:
        best = self._best("top")
        assert best is not None
        return f"The supernet's ranking won: {self._results()}. {self._recommend(best)}."

    def _even(self) -> str:
        top, rival = self._best("top"), self._rival()
        assert top is not None and rival is not None
        reason = "the difference is within the noise of a seed" if self._lead() else "there is no difference"
        if top.number == rival.number:
            other = "a random config" if rival.group == "random" else f"the {GROUPS[rival.group]}"
            reason = f"trial {top.number} is both the best of the ranking and {other}"
        return (
            f"The supernet's ranking is no better: {self._results()}; {reason}. Search these widths at random, or use"
            f" the cheapest config that is as good, trial {self._cheapest_equal()}."
        )

    def _lost(self) -> str:
        rival = self._rival()
        assert rival is not None
        return (
            f"The supernet's ranking lost: {self._results()}. {self._recommend(rival)} ({rival.group}), and rank these"
            " widths by training each config separately."
        )

    def _pending(self) -> str:
        numbers = ", ".join(str(entry.number) for entry in self._open())
        if numbers:
            return f"Not decided yet: trials {numbers} have not ended."
        return f"Not decided: {self._results()}; a comparison needs a finished trial on both sides."

    def _recommend(self, entry: Entry) -> str:
        """Recommend this trial, unless another one beats it by more than the noise."""
        assert self.best is not None
        (number, value), behind = self.best, self._behind(entry)
        if behind > (self.noise or 0.0):
            return f"Use trial {number}, the best of the study with {value:.4g}, instead of trial {entry.number}"
        within = f" (best of the study: trial {number} with {value:.4g}, within the noise)" if behind > 0 else ""
        return f"Use trial {entry.number}{within}"

    def _cheapest_equal(self) -> int | None:
        """Return the best trial, or the cheapest one if it is as good within the noise."""
        cheapest = self._best("cheapest")
        assert self.best is not None
        as_good = cheapest is not None and self._behind(cheapest) <= (self.noise or 0.0)
        return cheapest.number if cheapest is not None and as_good else self.best[0]

    def _unfair(self) -> str:
        """Warn if a small budget or space has fewer random points than the supernet's cost."""
        short = len(self._of("top")) + EXTRA_RANDOM - len(self._of("random"))
        warning = (
            f"The random configs took {short} trainings fewer than the supernet and the top-ranked configs, so the"
            " comparison favours the ranking."
        )
        return warning if short > 0 and self.outcome != "pending" else ""

    def _costs(self) -> str:
        if not self.alone:
            return ""
        return (
            f"Training the supernet and ranking {self.ranked} configs took as long as {self.cost / self.alone:.1f}"
            " trainings."
        )

    def _agreement(self) -> str:
        """Report Kendall's tau of expected and reached values over all points except trial 0."""
        pairs = {
            e.number: (e.expected, e.value) for e in self.entries if e.number and None not in (e.expected, e.value)
        }
        if len(pairs) < _LEAST_RANKED:
            return ""
        tau, low, high = mean_tau(np.array(list(pairs.values()), dtype=np.float64))
        return (
            f"Kendall's tau between expected and reached values is {tau:.2f} (95 % interval {low:.2f} to {high:.2f})"
            f" over {len(pairs)} separately trained configs."
        )

    def _noise(self) -> str:
        if self.noise is None:
            return "The noise of a seed is unknown: `venation study signal` measures it."
        return f"The noise of a seed is {self.noise:.2g} {self.objective} (standard deviation)."


def judge_oneshot(handle: StudyHandle) -> OneshotVerdict:
    """Return the verdict on a study's ranking, from the present state of its trials.

    Raises UsageError for a study without a supernet, UserError if trial 0 has not ranked the
    configs yet.
    """
    name, spec = handle.study.study_name, handle.spec
    if spec.search != "oneshot":
        raise UsageError(f"study `{name}` trains no supernet; create one with `--search oneshot`.")
    record = attributes.ONESHOT.get(handle.study)
    trials = handle.study.get_trials(deepcopy=False)
    if record is None:
        reason = attributes.CAUSE.get(trials[0]) or "the supernet is not trained yet"
        raise UserError(
            f"study `{name}` has no ranking: its trial 0 is {trials[0].state.name} ({reason}); see"
            f" `venation study trials {name}`."
        )
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    took = [trial.duration.total_seconds() for trial in done if trial.number and trial.duration is not None]
    sign = spec.signs[0]
    first = max(ties_first(done, spec.tie_break), key=lambda trial: sign * trial.values[0], default=None)
    return OneshotVerdict(
        group_trials(handle, record),
        objective=spec.objective,
        sign=sign,
        best=None if first is None else (first.number, first.values[0]),
        noise=(attributes.SIGNAL.get(handle.study) or {}).get("within"),
        ranked=record["ranked"],
        cost=record["train_seconds"] + record["rank_seconds"],
        alone=float(np.median(took)) if took else None,
    )
