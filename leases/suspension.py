"""Suspend a study: workers claim no trial until the problem is fixed and the study resumed."""

import json

from sqlalchemy import Connection, text

from ..errors import UserError
from ..search.handle import StudyHandle
from ..storage.attributes import SUSPENDED
from ..storage.database import study_lock

_REASON = text("SELECT value_json FROM study_user_attributes WHERE study_id = :study AND key = :key")
_PAUSE = text(
    "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (:study, :key, :value)"
    " ON CONFLICT (study_id, key) DO UPDATE SET value_json = excluded.value_json"
)
_RESUME = text("DELETE FROM study_user_attributes WHERE study_id = :study AND key = :key")


def suspension_reason(connection: Connection, study_id: int) -> str | None:
    """Return the reason why the study is paused, or None."""
    value = connection.scalar(_REASON, {"study": study_id, "key": SUSPENDED.key})
    return None if value is None else str(json.loads(value))


def suspend_study(connection: Connection, study_id: int, reason: str) -> None:
    """Pause the study; running trials continue."""
    connection.execute(_PAUSE, {"study": study_id, "key": SUSPENDED.key, "value": json.dumps(reason)})


def check_suspended(handle: StudyHandle) -> None:
    """Raise UserError with the reason if the study is paused."""
    with handle.storage.engine.connect() as connection:
        reason = suspension_reason(connection, handle.id)
    if reason is not None:
        name = handle.study.study_name
        raise UserError(f"study `{name}` is paused ({reason}); fix that, then `venation study resume {name}`.")


def resume_study(handle: StudyHandle) -> str | None:
    """Resume the study; return the reason why it was paused, or None."""
    with study_lock(handle.storage, handle.id) as connection:
        reason = suspension_reason(connection, handle.id)
        connection.execute(_RESUME, {"study": handle.id, "key": SUSPENDED.key})
    return reason
