"""Check the database and this machine for problems, and advise a fix for each.

The checks only read. Figures of the server are limited to those that this user may see.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import BaseModel
from sqlalchemy import Connection, text

from ..errors import UserError
from ..redaction import redact
from ..storage.damaged_rows import damaged_rows
from ..storage.roles import ADVICE, WORKER_RIGHTS
from ..storage.schema import schema_revision
from ..studies.registry import open_study

Verdict = Literal["ok", "warn", "bad"]

# A worker's storage keeps two connections open, and four for moments (see storage.database).
_PER_WORKER = 2
_SKEW_S = 5.0
_FREE_BYTES = 5 * 1024**3
_SHM_BYTES = 1024**3
_SHM = Path("/dev/shm")  # noqa: S108
_GB = 1024**3

_RUNNING = text(
    "SELECT s.study_name, t.number,"
    " extract(epoch FROM timezone('utc', clock_timestamp()) - h.heartbeat) AS silent"
    " FROM trials t JOIN studies s USING (study_id) LEFT JOIN trial_heartbeats h USING (trial_id)"
    " WHERE t.state = 'RUNNING' ORDER BY t.trial_id"
)
_SESSIONS = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
# What a worker reads and writes. The query checks the sequences of the tables' ids too.
_NEEDED = [
    (table, right)
    for table in sorted(set(BaseModel.metadata.tables) - {"version_info"})
    for right in ("SELECT", *WORKER_RIGHTS.get(table, ()))
]
_RIGHTS = text(
    "WITH t AS (SELECT CAST(CAST(name AS regclass) AS oid) AS oid, needed"
    " FROM unnest(CAST(:tables AS text[]), CAST(:rights AS text[])) AS pairs(name, needed))"
    " SELECT (SELECT bool_and(has_table_privilege(t.oid, needed)) FROM t)"
    " AND (SELECT bool_and(has_sequence_privilege(s.oid, 'USAGE')) FROM t JOIN pg_depend d ON d.refobjid = t.oid"
    "  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S')"
)


@dataclass(frozen=True)
class Finding:
    """The result of one check; ``advice`` is empty if the verdict is ok.

    A ``bad`` finding loses work or stops workers; a ``warn`` finding may.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(storage: RDBStorage, *, workers: int, places: dict[str, Path]) -> list[dict[str, Any]]:
    """Run all checks and return the findings as rows.

    ``workers`` is the number of worker processes to run at once, ``places`` are folders by name.
    Opening ``storage`` has already refused an unreachable server and tables of another schema.
    """
    with storage.engine.connect() as connection:
        found = [check(connection) for check in _SERVER]
        found.append(_connections(connection, workers))
    found.append(_damage(storage))
    if found[-1].verdict == "ok":  # a damaged study cannot be opened
        found.append(_stale(storage))
    found += [*_disks(places), _shared_memory()]
    return [asdict(finding) for finding in found]


def check_rights(storage: RDBStorage) -> None:
    """Raise UserError if the server is read-only or this user may not write to the tables."""
    with storage.engine.connect() as connection:
        finding = _rights(connection)
    if finding.verdict != "ok":
        where = redact(storage.engine.url.render_as_string(hide_password=False))
        raise UserError(f"cannot write to the database {where}: {finding.found}; {finding.advice}.")


def _schema(connection: Connection) -> Finding:
    return Finding("schema", "ok", f"{schema_revision(connection)}, as this Optuna writes it")


def _rights(connection: Connection) -> Finding:
    if connection.scalar(text("SHOW transaction_read_only")) == "on":
        return Finding("rights", "bad", "the server is read-only (a standby?)", "connect to the primary server")
    user = connection.scalar(text("SELECT current_user"))
    if not connection.scalar(
        _RIGHTS, {"tables": [table for table, _ in _NEEDED], "rights": [right for _, right in _NEEDED]}
    ):
        return Finding("rights", "bad", f"user {user} may not write all that a worker writes", ADVICE)
    return Finding("rights", "ok", "may read and write")


def _durability(connection: Connection) -> Finding:
    risky = [name for name in ("fsync", "full_page_writes") if connection.scalar(text(f"SHOW {name}")) == "off"]
    if risky:
        advice = f"set {' and '.join(f'{name} = on' for name in risky)} in postgresql.conf and reload"
        return Finding("durability", "bad", f"{', '.join(risky)} off: a power cut can ruin the database", advice)
    if connection.scalar(text("SHOW synchronous_commit")) == "off":
        advice = "set synchronous_commit = on in postgresql.conf and reload"
        return Finding("durability", "warn", "synchronous_commit off: a crash can lose the latest results", advice)
    return Finding("durability", "ok", "fsync on")


def _clock(connection: Connection) -> Finding:
    before = time.time()
    server = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)
    # The server read its clock between the two readings of the local one.
    after = time.time()
    skew = max(before - server, server - after, 0.0)
    if skew > _SKEW_S:
        advice = "synchronise both machines' clocks (chrony, systemd-timesyncd)"
        return Finding("clock", "warn", f"this machine and the server differ by {skew:.1f} s", advice)
    return Finding("clock", "ok", f"within {max(skew, after - before):.1f} s of the server's")


def _connections(connection: Connection, workers: int) -> Finding:
    limit = int(connection.scalar(text("SHOW max_connections")) or 0)
    reserved = int(connection.scalar(text("SHOW superuser_reserved_connections")) or 0)
    used = int(connection.scalar(_SESSIONS) or 0)
    free = limit - reserved - used
    found = f"{used} of {limit} in use; {workers} more workers need {workers * _PER_WORKER}"
    if free < workers * _PER_WORKER:
        need = used + reserved + workers * 2 * _PER_WORKER
        advice = f"set max_connections = {max(200, need)} and restart the server, or put PgBouncer in front"
        return Finding("connections", "bad", found, advice)
    return Finding("connections", "ok", found)


def _damage(storage: RDBStorage) -> Finding:
    rows = list(damaged_rows(storage.engine))
    if not rows:
        return Finding("records", "ok", "all can be read")
    places = [f"{row.study}{'' if row.number is None else f':{row.number}'} {row.key} {row.reason}" for row in rows]
    shown = "; ".join(places[:5]) + ("; ..." if len(places) > 5 else "")
    return Finding("records", "bad", f"{len(rows)} damaged: {shown}", "restore the database from a backup")


def _stale(storage: RDBStorage) -> Finding:
    with storage.engine.connect() as connection:
        rows = connection.execute(_RUNNING).all()
    graces: dict[str, float] = {}
    lost = [
        f"{row.study_name}:{row.number}"
        for row in rows
        if row.silent is None or row.silent > _grace(storage, row.study_name, graces)
    ]
    if lost:
        shown = ", ".join(lost[:5]) + (", ..." if len(lost) > 5 else "")
        found = f"{len(lost)} running trials without a recent heartbeat: {shown}"
        advice = "start a worker on the study, or run `venation worker reap --once`: either requeues them"
        return Finding("stale trials", "warn", found, advice)
    return Finding("stale trials", "ok", f"{len(rows)} running, all alive")


def _grace(storage: RDBStorage, study: str, graces: dict[str, float]) -> float:
    """Return a study's grace in seconds; infinity for a study that this version cannot read."""
    if study not in graces:
        try:
            graces[study] = open_study(storage, study).spec.grace
        except UserError:
            graces[study] = float("inf")
    return graces[study]


def _disks(places: dict[str, Path]) -> Iterator[Finding]:
    for name, folder in places.items():
        free = shutil.disk_usage(folder).free
        found = f"{free / _GB:.1f} GB free in {folder}"
        if not os.access(folder, os.W_OK):
            advice = "let this user write there, or choose another folder"
            yield Finding(name, "bad", f"{folder} cannot be written to", advice)
        elif free < _FREE_BYTES:
            yield Finding(name, "warn", found, "free space: `venation artifacts gc` removes files that are not needed")
        else:
            yield Finding(name, "ok", found)


def _shared_memory() -> Finding:
    if not _SHM.is_dir():
        return Finding("shared memory", "ok", "none on this system, and none is needed")
    total = shutil.disk_usage(_SHM).total
    found = f"{total / _GB:.2f} GB in {_SHM}"
    if total < _SHM_BYTES:
        advice = "give the container more: `docker run --shm-size 2g`, `shm_size: 2gb` in compose"
        return Finding("shared memory", "warn", found, advice)
    return Finding("shared memory", "ok", found)


_SERVER: tuple[Callable[[sqlalchemy.Connection], Finding], ...] = (_schema, _rights, _durability, _clock)
