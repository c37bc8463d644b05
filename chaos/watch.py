"""A study watched while it runs: an ended trial stays as it is, and the best never worsens."""

from collections.abc import Sequence

from sqlalchemy import text

from ..search.handle import StudyHandle
from ..studies.registry import best_trial

_ENDED = text(
    "SELECT number, CAST(state AS text), (SELECT value FROM trial_values v WHERE v.trial_id = t.trial_id"
    " AND objective = 0) FROM trials t WHERE study_id = :study"
)
_OPEN = ("RUNNING", "WAITING")

Outcome = tuple[str, float | None]


class Watch:
    """Samples the ended trials and the best value of a study."""

    def __init__(self, handle: StudyHandle) -> None:
        self._handle = handle
        self._best: list[float] = []
        self._ended: dict[int, Outcome] = {}
        self._changed: list[str] = []

    def sample(self) -> None:
        """Look at the study. Raises DATABASE_ERRORS in an outage."""
        best = best_trial(self._handle)
        if best is not None:
            self._best.append(best.values[0])
        with self._handle.storage.engine.connect() as connection:
            rows = connection.execute(_ENDED, {"study": self._handle.id}).all()
        found: dict[int, Outcome] = {number: (state, value) for number, state, value in rows}
        name = self._handle.study.study_name
        self._changed += [f"{name}:{line}" for line in changed_ends(self._ended, found)]
        self._ended = {number: outcome for number, outcome in found.items() if outcome[0] not in _OPEN}

    def violations(self) -> list[str]:
        """Describe the ended trials that changed or vanished, and a best value that worsened."""
        found = [*self._changed]
        if best_worsened(self._best, maximise=self._handle.spec.direction == "maximize"):
            found.append(f"{self._handle.study.study_name}: the best value became worse: {self._best}")
        return found


def changed_ends(before: dict[int, Outcome], after: dict[int, Outcome]) -> list[str]:
    """Describe the trials that had ended ``before`` and are not the same ``after``."""
    return [
        f"{number}: it had ended as {outcome}, and is now {after.get(number)}"
        for number, outcome in before.items()
        if after.get(number) != outcome
    ]


def best_worsened(values: Sequence[float], *, maximise: bool) -> bool:
    """Return whether the best value, sampled over time, ever became worse."""
    steps = zip(values, values[1:], strict=False)
    return any(later < earlier if maximise else later > earlier for earlier, later in steps)
