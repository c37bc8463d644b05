"""A study out of the database, in one transaction: whoever reads or writes it sees all of it, or nothing any more.

Optuna deletes row by row what it has read before, so that a worker that reports in between makes its deletion fail.
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
# In one order, as everybody else who takes several would.
_LOCK_TRIALS = text("SELECT FROM trials WHERE study_id = :study ORDER BY trial_id FOR UPDATE")
_DELETE = (
    *(f"DELETE FROM {t} WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)" for t in OF_TRIALS),
    *(f"DELETE FROM {table} WHERE study_id = :study" for table in (*OF_STUDIES, "studies")),
)


def delete_rows(connection: Connection, study_id: int) -> bool:
    """Delete all rows of a study, by the connection of its lock; False if there is no such study.

    While a trial's row is held nothing can be added to it: who tries waits, and then finds the trial gone.
    """
    given = {"study": study_id}
    if connection.execute(_LOCK_STUDY, given).first() is None:
        return False
    connection.execute(_LOCK_TRIALS, given)
    for statement in _DELETE:
        connection.execute(text(statement), given)
    return True
