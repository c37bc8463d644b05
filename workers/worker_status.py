"""Who is alive, where and on what, as the database alone tells it.

A busy worker is the holder of a running trial, whose heartbeat is its own. An idle one is a session of the server: a
worker's connections carry its name, and it asks for trials every second. Nobody registers, so nothing has to be cleaned
up after a worker that was killed. Behind a pooler that hides the sessions' names only busy workers are seen.
"""

import json
import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import text

from ..errors import UserError
from ..storage.attributes import HOLDER
from ..studies.registry import open_study

Row = dict[str, Any]

_SESSION = "venation worker "
_NAME = re.compile(rf"{_SESSION}(?P<host>\S+):(?P<pid>\d+)(?: (?P<device>\S+))?")
_HOST = 32  # of a host's name: the server cuts a session's name at 63 characters

_BUSY = text(
    "SELECT s.study_name, t.number, a.value_json AS holder,"
    " extract(epoch from timezone('utc', clock_timestamp()) - h.heartbeat) AS silence,"
    " (SELECT max(step) + 1 FROM trial_intermediate_values v WHERE v.trial_id = t.trial_id) AS epoch"
    " FROM trials t JOIN studies s USING (study_id)"
    " JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = :holder"
    " JOIN trial_heartbeats h ON h.trial_id = t.trial_id"
    " WHERE t.state = 'RUNNING' ORDER BY s.study_name, t.number"
)
_SESSIONS = text(
    "SELECT application_name AS name, min(backend_start) AS since,"
    " extract(epoch from clock_timestamp() - max(state_change)) AS silence FROM pg_stat_activity"
    " WHERE datname = current_database() AND starts_with(application_name, :prefix) GROUP BY 1 ORDER BY 1"
)


def session_name(kind: str, index: int | None) -> str:
    """The name of this worker's sessions at the server: host, process and ``device_name``."""
    return f"{_SESSION}{_place(socket.gethostname(), os.getpid())} {device_name(kind, index)}"


def device_name(kind: str, index: int | None) -> str:
    """``cpu``, or ``cuda:N`` with the number, or the UUID, that this machine knows the GPU by.

    A process that sees some GPUs only (``CUDA_VISIBLE_DEVICES``) counts those from 0.
    """
    if kind != "cuda":
        return kind
    seen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    number = index or 0
    return f"cuda:{seen[number] if number < len(seen) else number}"


def list_workers(storage: RDBStorage) -> list[Row]:
    """A row for each worker: ``busy``, ``idle``, or ``silent`` if its trial may be taken over by now.

    ``since`` is when it began the trial; of an idle one, the start of its oldest connection, which are renewed every
    half hour. ``silent_s`` is in seconds since its last sign of life. Of an idle one both are None for a user whom the
    server does not show the sessions of others (grant pg_read_all_stats). ``epoch`` counts reports: epochs, or folds.
    """
    with storage.engine.connect() as connection:
        busy = [row._asdict() for row in connection.execute(_BUSY, {"holder": HOLDER.key})]
        sessions = [row._asdict() for row in connection.execute(_SESSIONS, {"prefix": _SESSION})]
    graces = {name: _grace(storage, name) for name in {row["study_name"] for row in busy}}
    rows = [_busy_row(row, graces[row["study_name"]]) for row in busy]
    known = {_place(row["host"], row["pid"]) for row in rows}
    named = [(_NAME.fullmatch(session["name"]), session) for session in sessions]  # another program may name it so
    idle = [_idle_row(match, session) for match, session in named if match]
    return rows + [row for row in idle if _place(row["host"], row["pid"]) not in known]


def _busy_row(row: Mapping[str, Any], grace: float) -> Row:
    holder, silence = json.loads(row["holder"]), float(row["silence"])
    return {
        "worker": f"{holder['host']}:{holder['pid']}",
        "state": "silent" if silence > grace else "busy",
        "host": holder["host"],
        "pid": holder["pid"],
        "device": holder["device"] or None,
        "study": row["study_name"],
        "trial": row["number"],
        "epoch": row["epoch"],
        "since": holder["started"],
        "silent_s": round(silence, 1),
    }


def _idle_row(name: re.Match[str], session: Mapping[str, Any]) -> Row:
    since: datetime | None = session["since"]
    return {
        "worker": f"{name['host']}:{name['pid']}",
        "state": "idle",
        "host": name["host"],
        "pid": int(name["pid"]),
        "device": name["device"],
        "study": None,
        "trial": None,
        "epoch": None,
        "since": since and since.astimezone(UTC).isoformat(timespec="seconds"),
        "silent_s": None if session["silence"] is None else round(float(session["silence"]), 1),
    }


def _place(host: str, pid: int) -> str:
    """Host and process in one word; of a long name both ends, for what tells machines apart may stand at either."""
    if len(host) > _HOST:
        half = _HOST // 2
        host = f"{host[: half - 1]}~{host[-half:]}"
    return f"{host}:{pid}"


def _grace(storage: RDBStorage, name: str) -> float:
    """The study's; without end for one of another version, whose trials this version does not take over."""
    try:
        return open_study(storage, name).spec.grace
    except UserError:
        return float("inf")
