"""Read and delete the records of files of a whole database.

SQL does it, because Optuna reads the records of one trial at a time and deletes none.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.storages import RDBStorage
from sqlalchemy import text

from .artifacts import StoredFile, parse_record
from .attributes import STUDY_FILE, TRIAL_FILE

_OF_TRIALS = text(
    "SELECT s.study_name, s.study_id, t.number, t.trial_id, t.state::text AS state, a.value_json"
    " FROM trial_system_attributes a JOIN trials t USING (trial_id) JOIN studies s USING (study_id)"
    " WHERE starts_with(a.key, :prefix) ORDER BY s.study_name, t.number, a.trial_system_attribute_id"
)
_OF_STUDIES = text(
    "SELECT s.study_name, s.study_id, NULL AS number, NULL AS trial_id, NULL AS state, a.value_json"
    " FROM study_system_attributes a JOIN studies s USING (study_id)"
    " WHERE starts_with(a.key, :prefix) ORDER BY s.study_name, a.study_system_attribute_id"
)
_DELETE = text(
    "DELETE FROM trial_system_attributes a"
    " USING unnest(CAST(:trials AS integer[]), CAST(:keys AS text[])) AS gone(trial_id, key)"
    " WHERE a.trial_id = gone.trial_id AND a.key = gone.key RETURNING a.key"
)


@dataclass(frozen=True)
class Record:
    """A recorded file, its trial and the trial's state; ``number`` is None for a study's file."""

    study: str
    study_id: int
    number: int | None
    trial_id: int | None
    state: str | None
    file: StoredFile


def read_records(storage: RDBStorage, studies: Sequence[str] | None = None) -> list[Record]:
    """Return all records of the database, or of ``studies``, also of other programs' studies."""
    records: list[Record] = []
    with storage.engine.connect() as connection:
        for statement, prefix in ((_OF_STUDIES, STUDY_FILE.key), (_OF_TRIALS, TRIAL_FILE.key)):
            for row in connection.execute(statement, {"prefix": prefix}):
                # The attribute's value is JSON: a string, which is JSON again.
                file = parse_record(json.loads(row.value_json))
                records.append(Record(row.study_name, row.study_id, row.number, row.trial_id, row.state, file))
    return [record for record in records if studies is None or record.study in studies]


def delete_records(storage: RDBStorage, records: Sequence[Record]) -> set[str]:
    """Delete records of trials' files; return the artifact ids of those that still existed."""
    keys = [TRIAL_FILE.key + record.file.artifact_id for record in records]
    with storage.engine.begin() as connection:
        gone = connection.execute(_DELETE, {"trials": [record.trial_id for record in records], "keys": keys})
        return {key.removeprefix(TRIAL_FILE.key) for key in gone.scalars()}
