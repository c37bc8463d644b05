"""A study's budget: trials are counted by rows, time by the database's clock.

The limits are read from the stored spec at every claim: a study can be extended while workers run.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from optuna.trial import TrialState
from sqlalchemy import Connection, text

from ..errors import UserError
from ..search.handle import StudyHandle
from ..search.spec import split_base
from ..storage.attributes import SPEC, STARTED
from ..storage.database import study_lock

_EXISTS = text("SELECT 1 FROM studies WHERE study_id = :study")
_NAMED = text("SELECT 1 FROM studies WHERE study_name = :name")
_COUNT = text("SELECT state, count(*) FROM trials WHERE study_id = :study GROUP BY state")
_MARK_START = text(
    "INSERT INTO study_user_attributes (study_id, key, value_json)"
    " VALUES (:study, :key, CAST(round(extract(epoch from clock_timestamp()), 3) AS text))"
    " ON CONFLICT (study_id, key) DO NOTHING"
)
_USED = text(
    "SELECT count(*) AS trials, bool_or(number = 0 AND state IN ('RUNNING', 'WAITING')) AS first_open,"
    " (SELECT extract(epoch from clock_timestamp()) - CAST(value_json AS double precision)"
    "  FROM study_user_attributes WHERE study_id = :study AND key = :key) AS seconds,"
    " (SELECT value_json FROM study_user_attributes WHERE study_id = :study AND key = :spec) AS spec"
    " FROM trials WHERE study_id = :study"
)


@dataclass(frozen=True)
class Budget:
    """The limits of a study and what is used of them.

    ``trials`` and ``timeout`` are None without a limit. ``seconds`` counts from the first claim,
    and is None before it. ``first_open`` says whether trial 0 has not ended.
    """

    trials: int | None
    timeout: float | None
    used: int
    seconds: float | None
    first_open: bool


def mark_start(connection: Connection, study_id: int) -> None:
    """Start the study's clock, unless it runs already."""
    connection.execute(_MARK_START, {"study": study_id, "key": STARTED.key})


def count_states(handle: StudyHandle, connection: Connection | None = None) -> dict[TrialState, int]:
    """Count the trials in each state."""
    with _connect(handle, connection) as connected:
        rows = connected.execute(_COUNT, {"study": handle.id}).all()
    return {TrialState[state]: number for state, number in rows}


def within_budget(handle: StudyHandle, connection: Connection | None = None) -> bool:
    """Return whether the study may create another trial.

    ``connection`` has the study's lock, if the caller took it. Time counts from the first claim, so
    that a study which waits for workers or for its base loses none. In a one-shot study trial 0 has
    to end before the trials that it ranks.
    """
    with _connect(handle, connection) as connected:
        budget = read_budget(handle, connected)
    if budget.timeout is not None and budget.seconds is not None and budget.seconds > budget.timeout:
        return False
    if handle.spec.search == "oneshot" and budget.first_open:
        return False
    return budget.trials is None or budget.used < budget.trials


def read_budget(handle: StudyHandle, connection: Connection | None = None) -> Budget:
    """Read the study's limits and what is used of them; without limits if it was deleted."""
    given = {"study": handle.id, "key": STARTED.key, "spec": SPEC.key}
    with _connect(handle, connection) as connected:
        found = connected.execute(_USED, given).one()
    spec = json.loads(found.spec or "{}")
    seconds = None if found.seconds is None else float(found.seconds)
    return Budget(spec.get("trials"), spec.get("timeout"), found.trials, seconds, bool(found.first_open))


@contextmanager
def _connect(handle: StudyHandle, connection: Connection | None) -> Iterator[Connection]:
    if connection is not None:
        yield connection
    else:
        with handle.storage.engine.connect() as own:
            yield own


def is_finished(handle: StudyHandle) -> bool:
    """Return whether the budget is used up and every trial has ended."""
    # Under the lock: a claim between the two queries would hide a running trial.
    with study_lock(handle.storage, handle.id) as connection:
        counts = count_states(handle, connection)
        unfinished = counts.get(TrialState.RUNNING, 0) + counts.get(TrialState.WAITING, 0)
        return unfinished == 0 and not within_budget(handle, connection)


def check_exists(handle: StudyHandle) -> None:
    """Raise UserError if the study was deleted."""
    with handle.storage.engine.connect() as connection:
        if connection.execute(_EXISTS, {"study": handle.id}).scalar() is None:
            raise deleted_error(handle)


class StudyDeleted(UserError):
    """The study was deleted."""


def deleted_error(handle: StudyHandle) -> StudyDeleted:
    """Return the error for a deleted study."""
    name = handle.study.study_name
    return StudyDeleted(f"study `{name}` was deleted; start the worker without it, or create it again.")


@contextmanager
def unless_deleted(handle: StudyHandle) -> Iterator[None]:
    """Turn the KeyError that Optuna raises for a deleted study or base into StudyDeleted."""
    try:
        yield
    except KeyError:
        check_exists(handle)
        _check_base(handle)
        raise


def _check_base(handle: StudyHandle) -> None:
    base = split_base(handle.spec.base or "")[0]
    with handle.storage.engine.connect() as connection:
        if base and connection.execute(_NAMED, {"name": base}).scalar() is None:
            name = handle.study.study_name
            raise StudyDeleted(f"base study `{base}` of `{name}` was deleted; create `{name}` on another base.")
