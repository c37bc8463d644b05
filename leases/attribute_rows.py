"""SQL statements on the attributes of a trial, under the connection that has the study's lock."""

import json

from sqlalchemy import Connection, text

from ..storage.attributes import Attribute, Value

_SET_ATTR = (
    "INSERT INTO {table}_attributes (trial_id, key, value_json) VALUES (:trial, :key, :value)"
    " ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
)
_DROP_ATTR = "DELETE FROM {table}_attributes WHERE trial_id = :trial AND key = :key"


def get_attr(connection: Connection, trial_id: int, attribute: Attribute[Value]) -> Value | None:
    """Return an attribute of the trial; None if it has none."""
    given = {"trial": trial_id, "key": attribute.key}
    value = connection.scalar(text(f"SELECT {attribute.sql(':trial', 'key')}"), given)
    return None if value is None else json.loads(value)


def set_attr(connection: Connection, trial_id: int, attribute: Attribute[Value], value: Value | None) -> None:
    """Set an attribute of the trial; None removes it."""
    given = {"trial": trial_id, "key": attribute.key}
    for table in attribute.tables if value is None else attribute.tables[1:]:
        connection.execute(text(_DROP_ATTR.format(table=table)), given)
    if value is not None:
        connection.execute(text(_SET_ATTR.format(table=attribute.table)), given | {"value": json.dumps(value)})
