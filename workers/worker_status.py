"""List the workers from the database alone: machine, process, device, trial and last heartbeat.

A busy worker is the holder of a running trial, and shares its heartbeat. An idle worker is a
session of the server: a worker's connections have its name, and it asks for trials every second.
Workers do not register, so a killed one needs no cleanup. Behind a pooler that hides the names of
sessions only busy workers are listed.
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
_HOST = 32  # characters of a host's name: the server cuts a session's name at 63

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
    """Return the name of this worker's sessions at the server: host, process and device."""
    return f"{_SESSION}{_place(socket.gethostname(), os.getpid())} {device_name(kind, index)}"


def device_name(kind: str, index: int | None) -> str:
    """Return ``cpu``, or ``cuda:N`` with the machine's number or UUID of the GPU.

    A process with ``CUDA_VISIBLE_DEVICES`` counts only its own GPUs, from 0; ``index`` is that
    number.
    """
    if kind != "cuda":
        return kind
    seen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    number = index or 0
    return f"cuda:{seen[number] if number < len(seen) else number}"


def list_workers(storage: RDBStorage) -> list[Row]:
    """Return a row for each worker: ``busy``, ``idle``, or ``silent`` if its lease has expired.

    ``since`` is the start of the trial; for an idle worker, the start of its oldest connection,
    which is renewed every half hour. ``silent_s`` is the time in seconds since the last heartbeat.
    For idle workers both are None if the server hides the sessions of other users (grant
    pg_read_all_stats). ``epoch`` counts reports: epochs or folds.
    """
    with storage.engine.connect() as connection:
        busy = [row._asdict() for row in connection.execute(_BUSY, {"holder": HOLDER.key})]
        sessions = [row._asdict() for row in connection.execute(_SESSIONS, {"prefix": _SESSION})]
    graces = {name: _grace(storage, name) for name in {row["study_name"] for row in busy}}
    rows = [_busy_row(row, graces[row["study_name"]]) for row in busy]
    known = {_place(row["host"], row["pid"]) for row in rows}
    named = [(_NAME.fullmatch(session["name"]), session) for session in sessions]  # another program may use such a name
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
    """Return HOST:PID; of a long host name both ends, because machines may differ at either."""
    if len(host) > _HOST:
        half = _HOST // 2
        host = f"{host[: half - 1]}~{host[-half:]}"
    return f"{host}:{pid}"


def _grace(storage: RDBStorage, name: str) -> float:
    """Return the study's grace; infinity if another version created it: nothing is taken over."""
    try:
        return open_study(storage, name).spec.grace
    except UserError:
        return float("inf")
