"""A trial's log lines where every machine can read them: a file of the artifact store for each attempt at the trial.

A worker stores what it logged while it ran a trial when it begins, after every epoch and at the end. Not in the
database: a trial's attributes are read again by every sampler and every poll of the dashboard. A file is recorded with
its trial like any other, so it is shown, verified, collected and deleted with the rest, but without a hash, because it
grows. Each attempt has its own: a worker that lost the trial cannot overwrite the next one's lines.
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
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial

from ..errors import UserError
from ..leases.lease import DATABASE_ERRORS, Lease, StudyHandle
from ..storage.artifacts import Artifacts, StoredFile, list_files, record_file
from ..storage.attributes import UID
from ..studies.registry import get_trial

MAX_LINES = 2000  # of an attempt; the oldest go
PAUSE_S = 1.0  # between two looks of a follower

_NAME = re.compile(r"log-(\d+)\.jsonl")


@dataclass(frozen=True)
class Line:
    """One line: the attempt that logged it, its number from 1 within it, when, how grave, and what it says."""

    attempt: int
    n: int
    time: str
    level: str
    text: str


class TrialLog(logging.Handler):
    """Collects what Venation logs while a trial runs, and stores it under the trial's attempt."""

    def __init__(self, artifacts: Artifacts, lease: Lease) -> None:
        super().__init__(logging.INFO)
        self._artifacts, self._lease = artifacts, lease
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        # The handler of a signal logs, too, in the middle of whatever the main thread does here.
        self._guard = threading.RLock()
        self._numbers = itertools.count(1)
        self._stored = 0
        self._file: StoredFile | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line; what is logged over several becomes one text."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        with self._guard:
            number = next(self._numbers)
            self._lines.append(Line(self._lease.attempt, number, when, record.levelname, self.format(record)))

    def store(self, *, last: bool = False) -> None:
        """Store what is new, for the trial's owner only; after the ``last`` time the trial may have ended.

        A store or a database that fails costs the log its lines for now, never the trial its run.
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
    """What the store has of a trial's log: its lines, and how many more, and which of its files, cannot be read."""

    lines: list[Line]
    damaged: int
    missing: list[str]

    def flaws(self) -> str:
        """What is wrong with it, to follow what is said of the trial; empty where nothing is."""
        damaged = f"; {self.damaged} damaged lines are left out" if self.damaged else ""
        return damaged + (f"; not in the artifact store: {', '.join(self.missing)}" if self.missing else "")


def open_log(handle: StudyHandle, artifacts: Artifacts, trial: FrozenTrial) -> StoredLog:
    """All stored lines of a trial, those of earlier attempts first.

    Raises UserError where the store has none of the files that are recorded, StoreFailed where it is away.
    """
    found = [(_NAME.fullmatch(file.filename), file) for file in list_files(trial, storage=handle.storage)]
    files = sorted((int(match[1]), file.filename, file.artifact_id) for match, file in found if match)
    lines: list[Line | None] = []
    missing: list[str] = []
    for _, name, artifact_id in files:
        try:
            with artifacts.open_reader(artifact_id) as source:
                lines += [_parse(line) for line in source.read().splitlines()]
        except ArtifactNotFound:
            missing.append(name)
    if files and len(missing) == len(files):
        raise UserError(
            f"the log of trial {trial.number} of study `{handle.study.study_name}` ({', '.join(missing)}) is recorded,"
            " but not in the artifact store; give the store that the workers use with --artifacts."
        )
    whole = [line for line in lines if line is not None]
    return StoredLog(whole, len(lines) - len(whole), missing)


def read_log(handle: StudyHandle, artifacts: Artifacts, trial: FrozenTrial) -> list[Line]:
    """The lines of ``open_log``; raises as it does."""
    return open_log(handle, artifacts, trial).lines


def _parse(text: bytes) -> Line | None:
    """One stored line; None for what is none, because its file was damaged."""
    try:
        return Line(**json.loads(text))
    except (ValueError, TypeError):
        return None


def follow_log(handle: StudyHandle, artifacts: Artifacts, number: int, *, pause_s: float = PAUSE_S) -> Iterator[Line]:
    """Every line of a trial as it is stored, until the trial has ended; a database that is away is waited for.

    Raises UserError for a trial that is not there, or that is deleted meanwhile, and as ``open_log`` does.
    """
    trial = get_trial(handle, number)
    seen: dict[int, int] = {}
    looks = 2  # from the trial's end on: the worker's last lines come after it, so one more is due then
    while True:
        with suppress(*DATABASE_ERRORS):
            lines, over = _look(handle, artifacts, trial)
            for line in lines:
                if line.n > seen.get(line.attempt, 0):
                    seen[line.attempt] = line.n
                    yield line
            looks -= over
        if not looks:
            return
        time.sleep(pause_s)


def _look(handle: StudyHandle, artifacts: Artifacts, trial: FrozenTrial) -> tuple[list[Line], bool]:
    """The lines up to now, and whether the trial had ended before. Raises UserError if it was deleted."""
    try:
        over = handle.storage.get_trial(trial._trial_id).state.is_finished()
        return read_log(handle, artifacts, trial), over
    except KeyError:
        raise UserError(f"trial {trial.number} of study `{handle.study.study_name}` was deleted.") from None
