"""The rungs of a study in its database: who stands where, who goes on, who is told that it never will.

A paused trial is a WAITING row whose curve ends at a rung that it has not gone past: nothing else marks it, so a worker
that dies between the report and the decision leaves a trial that is paused like any other.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from ..storage.database import study_lock
from .rungs import Paused, Standing, promotable

if TYPE_CHECKING:
    from .lease import Lease, StudyHandle

PASSED = "venation:rungs"  # of how many rungs a trial has gone past
PAUSED = "venation:paused"  # where it was paused last, for people

# How many trials are told PRUNED in one hold of the lock, which must not last a minute.
_BATCH = 200

_STANDINGS = sqlalchemy.text(
    "SELECT trial_id, number, passed, step, best FROM ("
    " SELECT t.trial_id, t.number, a.value_json AS passed, v.step,"
    "  max(:sign * v.intermediate_value) OVER (PARTITION BY t.trial_id ORDER BY v.step) AS best"
    " FROM trials t JOIN trial_intermediate_values v ON v.trial_id = t.trial_id"
    " LEFT JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = :key"
    " WHERE t.study_id = :study AND t.state <> 'FAIL'"
    ") curves WHERE step = ANY(:steps) ORDER BY trial_id, step"
)
_UNFINISHED = sqlalchemy.text(
    "SELECT trial_id, state FROM trials WHERE study_id = :study AND state IN ('RUNNING', 'WAITING') ORDER BY trial_id"
)


def climb(lease: "Lease", epochs: int) -> None:
    """Past the rung after ``epochs`` epochs, if there is one and the trial is good enough; else raise Paused.

    The trial is then WAITING, its checkpoint left for whoever claims it when it is promoted. Call it with a checkpoint
    of these epochs stored, and not after the last epoch. Raises LeaseLost.
    """
    handle = lease.handle
    if epochs not in handle.spec.rungs:
        return
    rung = handle.spec.rungs.index(epochs)
    with study_lock(handle.storage, handle.id):
        lease.check()
        standings = _standings(handle)
        own = standings[lease.trial_id]
        # Trained anew up to here: its checkpoint was lost after it had been promoted.
        if own.passed > rung:
            return
        if own.number in promotable(standings.values(), handle.spec.eta):
            _pass(handle, lease.trial_id, own)
            return
        value = own.scores[rung] * _sign(handle)
        record = {"rung": rung + 1, "epochs": epochs, "value": value}
        handle.storage.set_trial_system_attr(lease.trial_id, PAUSED, record)
        handle.storage.set_trial_state_values(lease.trial_id, TrialState.WAITING)
    raise Paused(f"paused at rung {rung + 1} of {len(handle.spec.rungs)}, after {epochs} epochs, with {value:.4f}")


def next_waiting(handle: "StudyHandle", *, last: bool) -> int | None:
    """The id of the WAITING trial to run next, marked as past its rung if it was paused; None if there is none.

    First what was interrupted above a rung, then the best of what may be promoted, then trials that are still to
    start. ``last``: no new trial is to come. Call it under the study's lock.
    """
    standings, unfinished = _standings(handle), _unfinished(handle)
    trial_id = _choose(standings, unfinished, eta=handle.spec.eta, last=last)
    if trial_id in standings and standings[trial_id].stands:
        _pass(handle, trial_id, standings[trial_id])
    return trial_id


def prune_left(handle: "StudyHandle") -> list[int]:
    """Tell PRUNED the paused trials of a study without new trials to come, once nothing is left to run or promote.

    Returns the numbers of those told, a few hundred at most at a time. Call it under the study's lock.
    """
    standings, unfinished = _standings(handle), _unfinished(handle)
    running = TrialState.RUNNING in unfinished.values()
    if running or _choose(standings, unfinished, eta=handle.spec.eta, last=True) is not None:
        return []
    left = [trial_id for trial_id in unfinished if trial_id in standings][:_BATCH]
    for trial_id in left:
        trial = handle.storage.get_trial(trial_id)
        rung = len(standings[trial_id].scores)
        epochs = handle.spec.rungs[rung - 1]
        cause = f"rung {rung}: not among the best 1/{handle.spec.eta} after {epochs} epochs"
        handle.storage.set_trial_user_attr(trial_id, "cause", cause)
        # As Optuna tells pruned trials: with the last value that was reported.
        value = trial.intermediate_values[max(trial.intermediate_values)]
        handle.storage.set_trial_state_values(trial_id, TrialState.PRUNED, [value])
    return [standings[trial_id].number for trial_id in left]


def paused_at(trial: FrozenTrial) -> str | None:
    """Where a trial is paused, in words; None for one that is not."""
    record: dict[str, Any] | None = trial.system_attrs.get(PAUSED)
    if trial.state != TrialState.WAITING or record is None or record["epochs"] != len(trial.intermediate_values):
        return None
    return f"paused at rung {record['rung']}, after {record['epochs']} epochs, with {record['value']:.4g}"


def _choose(
    standings: Mapping[int, Standing], unfinished: Mapping[int, TrialState], *, eta: int, last: bool
) -> int | None:
    waiting = [trial_id for trial_id, state in unfinished.items() if state == TrialState.WAITING]
    paused = {standings[i].number: i for i in waiting if i in standings and standings[i].stands}
    free = [trial_id for trial_id in waiting if trial_id not in standings or not standings[trial_id].stands]
    interrupted = [trial_id for trial_id in free if trial_id in standings]
    promoted = [paused[number] for number in promotable(standings.values(), eta) if number in paused]
    ready = [*interrupted, *promoted, *free]
    if not ready and last and TrialState.RUNNING not in unfinished.values():
        ready = [paused[number] for number in promotable(standings.values(), eta, last=True) if number in paused]
    return ready[0] if ready else None


def _pass(handle: "StudyHandle", trial_id: int, standing: Standing) -> None:
    handle.storage.set_trial_system_attr(trial_id, PASSED, len(standing.scores))


def _standings(handle: "StudyHandle") -> dict[int, Standing]:
    """By id, every trial that has reached a rung and has not failed."""
    steps = [epochs - 1 for epochs in handle.spec.rungs]
    given = {"study": handle.id, "steps": steps, "sign": _sign(handle), "key": PASSED}
    with handle.storage.engine.connect() as connection:
        rows = connection.execute(_STANDINGS, given).all()
    scores: dict[int, list[float]] = {}
    for row in rows:
        scores.setdefault(row.trial_id, []).append(row.best)
    return {row.trial_id: Standing(row.number, tuple(scores[row.trial_id]), int(row.passed or 0)) for row in rows}


def _unfinished(handle: "StudyHandle") -> dict[int, TrialState]:
    """The states of RUNNING and WAITING trials by id, the oldest first."""
    with handle.storage.engine.connect() as connection:
        rows = connection.execute(_UNFINISHED, {"study": handle.id}).all()
    return {trial_id: TrialState[state] for trial_id, state in rows}


def _sign(handle: "StudyHandle") -> int:
    return 1 if handle.spec.direction == "maximize" else -1
