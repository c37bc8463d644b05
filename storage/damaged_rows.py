"""Find rows of the database whose JSON is damaged, and say which, and what to do.

Venation and Optuna write only what they can read. A row that neither can read was changed by hand,
or comes from a damaged disk.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from optuna.distributions import json_to_distribution
from sqlalchemy import Engine, text

from .artifacts import parse_record
from .attributes import ALL, STUDY_FILE, TRIAL_FILE, Attribute

# The databases that this process has opened: after an error, they are searched for damage.
opened: WeakSet[Engine] = WeakSet()

_FILES = (STUDY_FILE, TRIAL_FILE)
_OF_STUDIES = "SELECT s.study_name, NULL AS number, a.key, a.value_json FROM {table} a JOIN studies s USING (study_id)"
_OF_TRIALS = (
    "SELECT s.study_name, t.number, a.key, a.value_json FROM {table} a JOIN trials t USING (trial_id)"
    " JOIN studies s ON s.study_id = t.study_id"
)
_PARAMS = (
    "SELECT s.study_name, t.number, a.param_name, a.distribution_json FROM trial_params a JOIN trials t"
    " USING (trial_id) JOIN studies s ON s.study_id = t.study_id"
)
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class DamagedRow:
    """A row that cannot be read; ``number`` is None if it belongs to a study."""

    study: str
    number: int | None
    table: str
    key: str
    reason: str

    def sentence(self) -> str:
        """Return where it is, what is wrong, and what to do, in one line."""
        whose = f"study `{self.study}`" if self.number is None else f"trial {self.number} of study `{self.study}`"
        return (
            f"the database is damaged: `{self.key}` of {whose} (table {self.table}) {self.reason}; restore the"
            " database from a backup, or correct that row, and see `venation db doctor`."
        )


def damaged_rows(engine: Engine) -> Iterator[DamagedRow]:
    """Yield every damaged row, those of studies first. It reads all rows: seconds, if many."""
    tables = {f"{name}_attributes": name for name in ("study_user", "study_system", "trial_user", "trial_system")}
    with engine.connect().execution_options(stream_results=True) as connection:
        for table, name in tables.items():
            known = [attribute for attribute in ALL if name in attribute.tables]
            statement = (_OF_STUDIES if name.startswith("study") else _OF_TRIALS).format(table=table)
            for study, number, key, value in connection.execute(text(statement)):
                if reason := _fault(known, key, value):
                    yield DamagedRow(study, number, table, key, reason)
        for study, number, key, value in connection.execute(text(_PARAMS)):
            try:
                json_to_distribution(value)
            except _UNREADABLE:
                yield DamagedRow(study, number, "trial_params", key, "is not the JSON of a distribution")


def _fault(known: list[Attribute[Any]], key: str, stored: str) -> str | None:
    """Return what is wrong with a stored value; None for one that can be read."""
    try:
        value = json.loads(stored)
    except (RecursionError, TypeError, ValueError):
        return "is not JSON"
    attribute = next((each for each in known if key == each.key or (each.is_prefix and key.startswith(each.key))), None)
    if attribute is None:
        return None
    # A whole number is a float too; true is no number.
    kinds = (int, float) if attribute.value_type is float else attribute.value_type
    if not isinstance(value, kinds) or isinstance(value, bool):
        return f"is a {type(value).__name__}, not a {attribute.value_type.__name__}"
    if attribute.key in (each.key for each in _FILES):
        try:
            parse_record(str(value))
        except _UNREADABLE:
            return "is not the record of a file"
    return None
