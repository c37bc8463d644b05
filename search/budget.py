"""How much of a study is still to run: its trials are counted by rows, its time by the database's clock."""

from typing import TYPE_CHECKING

from optuna.trial import TrialState
from sqlalchemy import Connection, text

from ..errors import UserError
from ..storage.database import study_lock

if TYPE_CHECKING:
    from .lease import StudyHandle

STARTED = "started"  # user attribute of a study: when its first trial was claimed, in seconds since 1970

_EXISTS = text("SELECT 1 FROM studies WHERE study_id = :study")
_FIRST_OPEN = text("SELECT 1 FROM trials WHERE study_id = :study AND number = 0 AND state IN ('RUNNING', 'WAITING')")
_COUNT = text("SELECT state, count(*) FROM trials WHERE study_id = :study GROUP BY state")
_MARK_START = text(
    "INSERT INTO study_user_attributes (study_id, key, value_json)"
    " VALUES (:study, :key, CAST(round(extract(epoch from clock_timestamp()), 3) AS text))"
    " ON CONFLICT (study_id, key) DO NOTHING"
)
_SECONDS_RUN = text(
    "SELECT extract(epoch from clock_timestamp()) - CAST(value_json AS double precision)"
    " FROM study_user_attributes WHERE study_id = :study AND key = :key"
)


def mark_start(connection: Connection, study_id: int) -> None:
    """Let the time of the study count from now, unless it does already."""
    connection.execute(_MARK_START, {"study": study_id, "key": STARTED})


def count_states(handle: "StudyHandle") -> dict[TrialState, int]:
    """How many trials are in each state."""
    with handle.storage.engine.connect() as connection:
        rows = connection.execute(_COUNT, {"study": handle.id}).all()
    return {TrialState[state]: number for state, number in rows}


def within_budget(handle: "StudyHandle") -> bool:
    """Whether the study may still create a trial.

    The time of a study counts from its first claim: one that waits for its workers, or for its base, loses none of it.
    """
    spec = handle.spec
    if spec.timeout is not None:
        with handle.storage.engine.connect() as connection:
            seconds = connection.scalar(_SECONDS_RUN, {"study": handle.id, "key": STARTED})
        if seconds is not None and seconds > spec.timeout:
            return False
    if spec.search == "oneshot" and _first_open(handle):
        return False
    return spec.trials is None or sum(count_states(handle).values()) < spec.trials


def _first_open(handle: "StudyHandle") -> bool:
    """Whether trial 0, by which the trials after it are chosen, has still to end."""
    with handle.storage.engine.connect() as connection:
        return connection.execute(_FIRST_OPEN, {"study": handle.id}).scalar() is not None


def is_finished(handle: "StudyHandle") -> bool:
    """Whether the budget is used up and every trial has ended."""
    # Under the lock: a claim between the two questions would make a study with a running trial look finished.
    with study_lock(handle.storage, handle.id):
        counts = count_states(handle)
        unfinished = counts.get(TrialState.RUNNING, 0) + counts.get(TrialState.WAITING, 0)
        return unfinished == 0 and not within_budget(handle)


def check_exists(handle: "StudyHandle") -> None:
    """Raise UserError if the study was deleted."""
    with handle.storage.engine.connect() as connection:
        if connection.execute(_EXISTS, {"study": handle.id}).scalar() is None:
            raise deleted(handle)


def deleted(handle: "StudyHandle") -> UserError:
    """The error of a study that is gone."""
    return UserError(f"study `{handle.study.study_name}` was deleted; start the worker without it, or create it again.")
