"""A trial's log in the artifact store: one file for each attempt, readable on every machine.

A worker stores its lines at the start of a trial, after every epoch and at the end. They are not in
the database, because every sampler and every poll of the dashboard reads all attributes of a trial.
The file is recorded with its trial, without a hash because it grows; so it is shown, collected and
deleted like other files. A worker that lost the trial cannot overwrite the next attempt's file.
"""

import io
import itertools
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import optuna
from optuna.trial import FrozenTrial

from ..errors import UserError
from ..leases.lease import DATABASE_ERRORS, Lease
from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts, StoredFile, list_files, record_file
from ..storage.attributes import UID
from ..storage.not_found import not_found
from ..studies.registry import get_trial

MAX_LINES = 2000  # of an attempt; older lines are dropped
PAUSE_S = 1.0  # between two polls of a follower

_NAME = re.compile(r"log-(\d+)\.jsonl")


@dataclass(frozen=True)
class Line:
    """A log line: its attempt, its number within the attempt from 1, time, level and text."""

    attempt: int
    n: int
    time: str
    level: str
    text: str


class TrialLog(logging.Handler):
    """A log handler that collects Venation's lines during a trial and stores them by attempt."""

    def __init__(self, artifacts: Artifacts, lease: Lease) -> None:
        super().__init__(logging.INFO)
        self._artifacts, self._lease = artifacts, lease
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        # A signal handler logs, too, while the main thread may have this lock.
        self._guard = threading.RLock()
        self._numbers = itertools.count(1)
        self._stored = 0
        self._file: StoredFile | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record as one line, even if its text has several."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        with self._guard:
            number = next(self._numbers)
            self._lines.append(Line(self._lease.attempt, number, when, record.levelname, self.format(record)))

    def store(self, *, last: bool = False) -> None:
        """Store the lines if there are new ones. ``last``: the trial may have ended.

        Call it only as the trial's owner. If the store or the database fails, the lines wait for
        the next call, and the trial continues.
        """
        with self._guard:
            lines = sorted(self._lines, key=lambda line: line.n)
        count = lines[-1].n if lines else 0
        if count == self._stored or (last and self._file is None):
            return
        content = "".join(json.dumps(asdict(line)) + "\n" for line in lines).encode()
        with suppress(UserError, KeyError, optuna.exceptions.UpdateFinishedTrialError, *DATABASE_ERRORS):
            file = self._file or self._new_file()
            self._artifacts.write(file.artifact_id, io.BytesIO(content))
            if self._file is None:
                record_file(self._lease.trial, file)
            self._file, self._stored = file, count

    def _new_file(self) -> StoredFile:
        uid = UID.need(self._lease.handle.study)
        number, attempt = self._lease.trial.number, self._lease.attempt
        name = f"log-{attempt}.jsonl"
        return StoredFile(f"{uid}-{number}-{name}", name, "application/jsonl", None, None, time.time())


@dataclass(frozen=True)
class StoredLog:
    """A trial's stored lines, the number of damaged lines, and the names of missing files."""

    lines: list[Line]
    damaged: int
    missing: list[str]

    def flaws(self) -> str:
        """Describe damaged lines and missing files, as the end of a message; may be empty."""
        damaged = f"; {self.damaged} damaged lines are left out" if self.damaged else ""
        return damaged + (f"; not in the artifact store: {', '.join(self.missing)}" if self.missing else "")


def open_log(handle: StudyHandle, artifacts: Artifacts, trial: FrozenTrial) -> StoredLog:
    """Read all stored lines of a trial, earlier attempts first.

    Raises UserError if the store has none of the recorded files, StoreFailed if it is away.
    """
    found = [(_NAME.fullmatch(file.filename), file) for file in list_files(trial, storage=handle.storage)]
    files = sorted((int(match[1]), file.filename, file.artifact_id) for match, file in found if match)
    lines: list[Line | None] = []
    missing: list[str] = []
    for _, name, artifact_id in files:
        try:
            with artifacts.open_reader(artifact_id) as source:
                lines += [_parse(line) for line in source.read().splitlines()]
        except not_found():
            missing.append(name)
    if files and len(missing) == len(files):
        raise UserError(
            f"the log of trial {trial.number} of study `{handle.study.study_name}` ({', '.join(missing)}) is recorded,"
            " but not in the artifact store; give the store that the workers use with --artifacts."
        )
    whole = [line for line in lines if line is not None]
    return StoredLog(whole, len(lines) - len(whole), missing)


def read_log(handle: StudyHandle, artifacts: Artifacts, trial: FrozenTrial) -> list[Line]:
    """Return the lines of ``open_log``; raises the same errors."""
    return open_log(handle, artifacts, trial).lines


def _parse(text: bytes) -> Line | None:
    """Parse a stored line; return None if it is damaged."""
    try:
        return Line(**json.loads(text))
    except (ValueError, TypeError):
        return None


def follow_log(handle: StudyHandle, artifacts: Artifacts, number: int, *, pause_s: float = PAUSE_S) -> Iterator[Line]:
    """Yield every line of a trial as it is stored, until the trial has ended.

    Waits while the database is away. Raises UserError if the trial does not exist or is deleted,
    and the errors of ``open_log``.
    """
    trial = get_trial(handle, number)
    seen: dict[int, int] = {}
    polls_left = 2  # after the trial's end: the worker stores its last lines after it, so poll once more
    while True:
        with suppress(*DATABASE_ERRORS):
            lines, over = _poll(handle, artifacts, trial)
            for line in lines:
                if line.n > seen.get(line.attempt, 0):
                    seen[line.attempt] = line.n
                    yield line
            polls_left -= over
        if not polls_left:
            return
        time.sleep(pause_s)


def _poll(handle: StudyHandle, artifacts: Artifacts, trial: FrozenTrial) -> tuple[list[Line], bool]:
    """Return the lines so far, and whether the trial had ended before."""
    try:
        over = handle.storage.get_trial(trial._trial_id).state.is_finished()
        return read_log(handle, artifacts, trial), over
    except KeyError:
        raise UserError(f"trial {trial.number} of study `{handle.study.study_name}` was deleted.") from None
