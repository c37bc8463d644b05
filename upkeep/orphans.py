"""Compare an artifact store with its database: missing files, damaged files and orphans."""

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
from ..storage.attributes import UID
from ..storage.owner_markers import MARKER_PREFIX, marker_id
from ..storage.records import Record, read_records
from ..storage.store_protocol import Entry
from ..studies.registry import need_study

log = logging.getLogger(__name__)

# Files are stored before they are recorded, so a new file may belong to a trial that is about to
# end or a study that is being created. Unrecorded files newer than UPLOAD_GRACE_S are never
# orphans, even with a lower minimum age.
MIN_AGE_S = 86400.0
UPLOAD_GRACE_S = 3600.0

NEVER_RECORDED = "never recorded"

# Only names that Venation and Optuna give can be orphans; other files in the store belong to other
# programs.
_FILE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BLOB = re.compile(r"([0-9a-f]{32})-(.+)")
_OF_TRIAL = re.compile(r"(\d+)-.+")  # checkpoints, and logs, which are recorded once they are stored

_PROGRESS_INTERVAL = 500  # files between two progress messages

_UIDS = text("SELECT study_id, value_json FROM study_user_attributes WHERE key = :key")
_UNFINISHED = text("SELECT study_id, number FROM trials WHERE state IN ('RUNNING', 'WAITING')")


@dataclass(frozen=True)
class Orphan:
    """A file in the store that is not needed, and the reason."""

    entry: Entry
    reason: str


@dataclass(frozen=True)
class Verification:
    """The state of every recorded file, and the orphans of the store."""

    findings: list[Finding]
    orphans: list[Orphan]

    @property
    def sound(self) -> bool:
        """Return whether every recorded file exists and is undamaged."""
        return not any(finding.status in ("missing", "damaged") for finding in self.findings)


def verify_store(
    storage: RDBStorage, artifacts: Artifacts, names: Sequence[str] = (), *, min_age_s: float | None = MIN_AGE_S
) -> Verification:
    """Read every recorded file of the studies ``names``.

    Without names, read the files of all studies, and find orphans too. ``min_age_s`` is for
    ``find_orphans``. Raises UserError for an unknown study, StoreFailed if the store fails.
    """
    for name in names:
        need_study(storage, name)
    entries = [] if names else list(artifacts.entries())
    records = read_records(storage, names or None)
    findings = []
    for number, finding in enumerate(check_files(artifacts, records), start=1):
        findings.append(finding)
        if number % _PROGRESS_INTERVAL == 0:
            log.info("read %d of %d files", number, len(records))
    if any(finding.status == "missing" for finding in findings):
        # Files whose record was deleted in the meantime are not missing.
        there = {_key(record) for record in read_records(storage, names or None)}
        findings = [found for found in findings if found.status != "missing" or _key(found.record) in there]
    return Verification(findings, find_orphans(storage, entries, records, min_age_s=min_age_s))


def find_orphans(
    storage: RDBStorage, entries: Iterable[Entry], records: Iterable[Record], *, min_age_s: float | None
) -> list[Orphan]:
    """Return the orphans among ``entries``.

    These are unrecorded files, and files of deleted studies and ended trials. Orphans are at least
    ``min_age_s`` old; files that were never recorded also at least an hour. None accepts every age,
    for callers that know that no worker runs.

    List ``entries`` before reading ``records``, or a file recorded in between looks like an orphan.
    If another database keeps files in the same store, there are no orphans: an unrecorded file may
    be recorded there.
    """
    entries = list(entries)
    if other_databases(storage, entries):
        return []
    recorded = {record.file.artifact_id for record in records}
    with storage.engine.connect() as connection:
        uids = {json.loads(value): study_id for study_id, value in connection.execute(_UIDS, {"key": UID.key})}
        unfinished = {(study_id, number) for study_id, number in connection.execute(_UNFINISHED)}
    now = time.time()
    orphans = []
    for entry in entries:
        reason = None if entry.artifact_id in recorded else _orphan_reason(entry.artifact_id, uids, unfinished)
        if reason is not None and (min_age_s is None or now - entry.modified >= _least_age(reason, min_age_s)):
            orphans.append(Orphan(entry, reason))
    return orphans


def _least_age(reason: str, min_age_s: float) -> float:
    return max(min_age_s, UPLOAD_GRACE_S) if reason == NEVER_RECORDED else min_age_s


def other_databases(storage: RDBStorage, entries: Iterable[Entry]) -> list[str]:
    """Return the owner markers of other databases that keep files in the store."""
    own = marker_id(storage)
    return sorted(e.artifact_id for e in entries if e.artifact_id.startswith(MARKER_PREFIX) and e.artifact_id != own)


def _orphan_reason(artifact_id: str, uids: dict[str, int], unfinished: set[tuple[int, int]]) -> str | None:
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
