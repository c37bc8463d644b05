"""Delete the rows of a study in one transaction: readers see all of it or nothing.

Optuna deletes row by row the rows that it has read before, so a worker that reports in between
makes its deletion fail.
"""

from sqlalchemy import Connection, text

# Every table that refers to a trial, and to a study, as Optuna names them.
OF_TRIALS = (
    "trial_heartbeats",
    "trial_intermediate_values",
    "trial_params",
    "trial_system_attributes",
    "trial_user_attributes",
    "trial_values",
)
OF_STUDIES = ("study_directions", "study_system_attributes", "study_user_attributes", "trials")

_LOCK_STUDY = text("SELECT FROM studies WHERE study_id = :study FOR UPDATE")
# In a fixed order, so that two transactions that lock several trials cannot deadlock.
_LOCK_TRIALS = text("SELECT FROM trials WHERE study_id = :study ORDER BY trial_id FOR UPDATE")
_DELETE = (
    *(f"DELETE FROM {t} WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)" for t in OF_TRIALS),
    *(f"DELETE FROM {table} WHERE study_id = :study" for table in (*OF_STUDIES, "studies")),
)


def delete_rows(connection: Connection, study_id: int) -> bool:
    """Delete all rows of a study on the connection of its lock; False if there is no such study.

    The rows of its trials are locked first: a concurrent insert waits, and then finds the trial
    gone.
    """
    given = {"study": study_id}
    if connection.execute(_LOCK_STUDY, given).first() is None:
        return False
    connection.execute(_LOCK_TRIALS, given)
    for statement in _DELETE:
        connection.execute(text(statement), given)
    return True
