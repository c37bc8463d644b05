"""ASHA in the database: choose the next waiting trial, promote paused trials, prune the rest.

A paused trial is a WAITING row whose curve ends at a rung that it has not passed. Nothing else
marks it, so a worker that dies between the report and the decision leaves a paused trial like any
other.
"""

from collections.abc import Mapping

import sqlalchemy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from ..search.asha import RungScores, promotable
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..storage.attributes import NOT_BEFORE, PAUSED, RUNGS_PASSED
from . import rows
from .asha_scores import last_values, read_standings
from .attribute_rows import set_attr

# Trials that are pruned under one lock, which must not last a minute.
_BATCH = 200

# A trial with a retry delay counts as running: it is unfinished and cannot be claimed.
_UNFINISHED = sqlalchemy.text(
    "SELECT t.trial_id, CASE WHEN EXISTS (SELECT FROM trial_system_attributes a WHERE a.trial_id = t.trial_id"
    " AND a.key = :key AND CAST(a.value_json AS double precision) > extract(epoch from clock_timestamp()))"
    " THEN 'RUNNING' ELSE CAST(t.state AS text) END AS state FROM trials t"
    " WHERE t.study_id = :study AND t.state IN ('RUNNING', 'WAITING') ORDER BY t.trial_id"
)


def next_waiting(handle: StudyHandle, connection: Connection, *, last: bool) -> int | None:
    """Return the id of the WAITING trial to run next, or None.

    If that trial was paused, its promotion is recorded.

    The order: trials interrupted above a rung, promotable trials from the best down, trials that
    have not started. ``last``: the study creates no more trials. ``connection`` has the study's
    lock.
    """
    standings, unfinished = read_standings(handle, connection), _unfinished(handle, connection)
    trial_id = _choose(standings, unfinished, eta=handle.spec.eta, last=last)
    if trial_id in standings and standings[trial_id].waits:
        pass_rung(connection, trial_id, standings[trial_id])
    return trial_id


def prune_left(handle: StudyHandle, connection: Connection) -> list[int]:
    """Prune the paused trials of a study with no trial left to create, run or promote.

    Returns their numbers, at most a few hundred in one call. ``connection`` has the study's lock.
    """
    standings, unfinished = read_standings(handle, connection), _unfinished(handle, connection)
    running = TrialState.RUNNING in unfinished.values()
    if running or _choose(standings, unfinished, eta=handle.spec.eta, last=True) is not None:
        return []
    left = [trial_id for trial_id in unfinished if trial_id in standings][:_BATCH]
    # As in Optuna, a pruned trial has the last values that it reported.
    values = last_values(connection, left, handle.spec)
    ends = {trial_id: (_too_low(standings[trial_id], handle.spec), values[trial_id]) for trial_id in left}
    return [standings[trial_id].number for trial_id in rows.prune_waiting(connection, ends)]


def pass_rung(connection: Connection, trial_id: int, standing: RungScores) -> None:
    """Record that a trial continues past the last rung that it has reached."""
    set_attr(connection, trial_id, RUNGS_PASSED, len(standing.scores))


def paused_at(trial: FrozenTrial) -> str | None:
    """Describe the rung at which a trial is paused; return None if it is not paused."""
    record = PAUSED.get(trial)
    if trial.state != TrialState.WAITING or record is None or record["epochs"] != len(trial.intermediate_values):
        return None
    return f"paused at rung {record['rung']}, after {record['epochs']} epochs, with {record['value']:.4g}"


def _choose(
    standings: Mapping[int, RungScores], unfinished: Mapping[int, TrialState], *, eta: int, last: bool
) -> int | None:
    waiting = [trial_id for trial_id, state in unfinished.items() if state == TrialState.WAITING]
    paused = {standings[i].number: i for i in waiting if i in standings and standings[i].waits}
    free = [trial_id for trial_id in waiting if trial_id not in standings or not standings[trial_id].waits]
    interrupted = [trial_id for trial_id in free if trial_id in standings]
    promoted = [paused[number] for number in promotable(standings.values(), eta) if number in paused]
    ready = [*interrupted, *promoted, *free]
    if not ready and last and TrialState.RUNNING not in unfinished.values():
        ready = [paused[number] for number in promotable(standings.values(), eta, last=True) if number in paused]
    return ready[0] if ready else None


def _too_low(standing: RungScores, spec: StudySpec) -> str:
    rung = len(standing.scores)
    return f"rung {rung}: not among the best 1/{spec.eta} after {spec.rungs[rung - 1]} epochs"


def _unfinished(handle: StudyHandle, connection: Connection) -> dict[int, TrialState]:
    """Return the states of the RUNNING and WAITING trials by id, the oldest first."""
    found = connection.execute(_UNFINISHED, {"study": handle.id, "key": NOT_BEFORE.key}).all()
    return {trial_id: TrialState[state] for trial_id, state in found}
