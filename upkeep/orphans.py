"""What an artifact store holds against what the database says of it: damage, gaps, and bytes that nobody needs."""

import json
import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from optuna.storages import RDBStorage
from sqlalchemy import text

from ..storage.artifact_check import Finding, check_files
from ..storage.artifacts import Artifacts
from ..storage.owner_markers import MARK, mark_id
from ..storage.records import Record, read_records
from ..storage.store_protocol import Entry
from ..studies.registry import UID, need_study

log = logging.getLogger(__name__)

# Bytes come before their record, so new ones may belong to somebody who has yet to record them: a trial that just ends,
# a study that is just made. The second is the least for such, whatever is asked for.
MIN_AGE_S = 86400.0
ON_THE_WAY_S = 3600.0

NEVER_RECORDED = "never recorded"

# The names that Venation and Optuna give; whatever else lies in the store is not ours to judge.
_FILE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BLOB = re.compile(r"([0-9a-f]{32})-(.+)")
_OF_TRIAL = re.compile(r"(\d+)-.+")  # checkpoints, and logs, which are recorded once they are stored

_TOLD = 500  # files between two lines of progress

_UIDS = text("SELECT study_id, value_json FROM study_user_attributes WHERE key = :key")
_UNFINISHED = text("SELECT study_id, number FROM trials WHERE state IN ('RUNNING', 'WAITING')")


@dataclass(frozen=True)
class Orphan:
    """Bytes that nobody needs, and why."""

    entry: Entry
    why: str


@dataclass(frozen=True)
class Verification:
    """What became of the recorded files, and which bytes nobody needs."""

    findings: list[Finding]
    orphans: list[Orphan]

    @property
    def sound(self) -> bool:
        """Whether every recorded file is there and whole."""
        return not any(finding.status in ("missing", "damaged") for finding in self.findings)


def verify_store(
    storage: RDBStorage, artifacts: Artifacts, names: Sequence[str] = (), *, min_age_s: float | None = MIN_AGE_S
) -> Verification:
    """Read every recorded file of the studies ``names``, or of all and then look for orphans as well.

    ``min_age_s`` is for ``find_orphans``. Raises UserError for an unknown study, StoreFailed.
    """
    for name in names:
        need_study(storage, name)
    entries = [] if names else list(artifacts.entries())
    records = read_records(storage, names or None)
    findings = []
    for number, finding in enumerate(check_files(artifacts, records), start=1):
        findings.append(finding)
        if number % _TOLD == 0:
            log.info("read %d of %d files", number, len(records))
    if any(finding.status == "missing" for finding in findings):
        # Deleted in the meantime, record and all.
        there = {_key(record) for record in read_records(storage, names or None)}
        findings = [found for found in findings if found.status != "missing" or _key(found.record) in there]
    return Verification(findings, find_orphans(storage, entries, records, min_age_s=min_age_s))


def find_orphans(
    storage: RDBStorage, entries: Iterable[Entry], records: Iterable[Record], *, min_age_s: float | None
) -> list[Orphan]:
    """Which ``entries`` are older than ``min_age_s`` and of no use: unrecorded, or left of what is deleted or ended.

    Those that were never recorded must be older than an hour at least. With None all ages do, for who knows that nobody
    is at work.

    ``entries`` must have been listed before ``records`` were read, else a file recorded in between would look like an
    orphan. None, where another database keeps files in the same store.
    """
    entries = list(entries)
    if others(storage, entries):
        return []
    recorded = {record.file.artifact_id for record in records}
    with storage.engine.connect() as connection:
        uids = {json.loads(value): study_id for study_id, value in connection.execute(_UIDS, {"key": UID})}
        unfinished = {(study_id, number) for study_id, number in connection.execute(_UNFINISHED)}
    now = time.time()
    orphans = []
    for entry in entries:
        why = None if entry.artifact_id in recorded else _why(entry.artifact_id, uids, unfinished)
        if why is not None and (min_age_s is None or now - entry.modified >= _least_age(why, min_age_s)):
            orphans.append(Orphan(entry, why))
    return orphans


def _least_age(why: str, min_age_s: float) -> float:
    return max(min_age_s, ON_THE_WAY_S) if why == NEVER_RECORDED else min_age_s


def others(storage: RDBStorage, entries: Iterable[Entry]) -> list[str]:
    """The marks of other databases that keep files in the store."""
    own = mark_id(storage)
    return sorted(e.artifact_id for e in entries if e.artifact_id.startswith(MARK) and e.artifact_id != own)


def _why(artifact_id: str, uids: dict[str, int], unfinished: set[tuple[int, int]]) -> str | None:
    if _FILE.fullmatch(artifact_id):
        return NEVER_RECORDED
    blob = _BLOB.fullmatch(artifact_id)
    if blob is None:
        return None
    if blob[1] not in uids:
        return "of a deleted study"
    of_trial = _OF_TRIAL.fullmatch(blob[2])
    if of_trial and (uids[blob[1]], int(of_trial[1])) not in unfinished:
        return "of an ended trial"
    return None


def _key(record: Record) -> tuple[int, int | None, str]:
    return record.study_id, record.trial_id, record.file.artifact_id
