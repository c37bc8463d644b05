"""`venation chaos`: studies on real workers, random faults, and checks of the guarantees.

One study follows another until the time is over. A study without a violation is deleted after the
next one has ended. Then the faults stop, and the last study has ten minutes to end.
"""

import logging
import random
import time
from contextlib import suppress
from pathlib import Path

from ..data.synthetic import write_leaves
from ..errors import UserError
from ..leases.budget import is_finished
from ..leases.lease import DATABASE_ERRORS
from ..search.handle import StudyHandle
from ..studies.create import create_requested
from ..studies.registry import best_trial, delete_study
from ..studies.request import StudyRequest
from ..trials.kinds import Kind
from .faults import FAULTS, Undo, least_frequent, possible_faults
from .invariants import best_worsened, leftovers, lost_leases, num_cut_short, unrecorded, violations
from .report import Report
from .sandbox import HEARTBEAT_S, Sandbox, open_sandbox, temporary_home

log = logging.getLogger(__name__)

SETTINGS = {
    "encoder.name": "test_resnet",
    "encoder.weights": "none",
    "data.size": 32,
    "train.epochs": 5,
    "train.batch_size": 8,
    "train.optimizer": "adamw",
}
PRUNERS = ("none", "asha", "median")
_FAULT_S = 4.0  # on average from one fault to the next
_TICK_S = 0.1
# A worker retries a database that is away for ten minutes.
_LAST_S = 600


def run_chaos(*, minutes: float, workers: int, seed: int, trials: int = 20) -> Report:
    """Run studies of ``trials`` trials on so many workers, with a fault every four seconds.

    Raises UserError if the database cannot be started, or a study does not end ten minutes after
    the last fault.
    """
    report = Report(seed)
    with temporary_home(lambda: bool(report.violations)) as home, open_sandbox(home, workers) as sandbox:
        report.left_out = sorted(set(FAULTS) - set(possible_faults(sandbox)))
        leaves = home / "leaves"
        write_leaves(leaves, classes=3, images=8, size=32, seed=seed)
        schedule = _FaultSchedule(sandbox, report, end=time.monotonic() + 60 * minutes)
        former: StudyHandle | None = None
        cut_short = 0
        while time.monotonic() < schedule.end:
            handle = _create(sandbox, leaves, number=report.studies, seed=seed, trials=trials)
            _run_study(sandbox, handle, schedule, report)
            found = _check(sandbox, handle, report)
            cut_short += num_cut_short(handle)
            # Only now: a worker may still look for a trial of the former study until it has ended.
            if former is not None:
                report.violations += leftovers(former, sandbox.store, excused=sandbox.workers.unable_to_clean_up())
                delete_study(sandbox.storage, former.study.study_name, sandbox.store)
            former = None if found else handle
        sandbox.workers.drain()
        if former is not None:
            report.violations += leftovers(former, sandbox.store, excused=sandbox.workers.unable_to_clean_up())
        report.violations += unrecorded(sandbox.storage, sandbox.store, cut_short=cut_short)
        report.starts = sandbox.workers.starts
        report.violations += sandbox.workers.crashes
        report.check_lost_leases()
    return report


def _create(sandbox: Sandbox, leaves: Path, *, number: int, seed: int, trials: int) -> StudyHandle:
    pruner = PRUNERS[(seed + number) % len(PRUNERS)]
    request = StudyRequest(
        name=f"chaos-{number}",
        kind=Kind.CLASSIFIER,
        data=leaves,
        settings=SETTINGS,
        trials=trials,
        seed=seed + number,
        pruner=pruner,
        heartbeat=HEARTBEAT_S,
    )
    return create_requested(sandbox.storage, sandbox.store, request)[0]


class _FaultSchedule:
    """Injects a fault every few seconds until ``end``, and undoes each when it is due."""

    def __init__(self, sandbox: Sandbox, report: Report, *, end: float) -> None:
        self.end = end
        self._sandbox, self._report = sandbox, report
        self._rng = random.Random(report.seed)
        self._kinds = possible_faults(sandbox)
        self._next = time.monotonic() + _FAULT_S
        self._pending: list[tuple[float, Undo]] = []

    def tick(self) -> None:
        """Undo the faults that are due, and inject one if it is time and a worker runs."""
        now = time.monotonic()
        for ended in self._take_due(now):
            ended.call()
            self._report.long_silences += ended.outlasts_grace
        if self._next < now < self.end and self._sandbox.workers.running():
            kind = self._rng.choice(least_frequent(self._kinds, self._report.faults))
            log.info("fault %d: %s", sum(self._report.faults.values()) + 1, kind)
            undo = FAULTS[kind](self._sandbox, self._rng)
            self._report.faults[kind] += 1
            self._pending += [(now + undo.seconds, undo)] if undo else []
            self._next = now + self._rng.uniform(0.5, 1.5) * _FAULT_S

    def undo_all(self) -> None:
        """Undo the remaining faults early, without a count of their silences."""
        for ended in self._take_due(float("inf")):
            ended.call()

    def _take_due(self, now: float) -> list[Undo]:
        due = [undo for when, undo in self._pending if when <= now]
        self._pending = [(when, undo) for when, undo in self._pending if when > now]
        return due


def _run_study(sandbox: Sandbox, handle: StudyHandle, schedule: _FaultSchedule, report: Report) -> None:
    """Keep the workers running under faults until the study has ended, and watch its best value."""
    best_values: list[float] = []
    sandbox.workers.assign(handle.study.study_name)
    try:
        while not _has_ended(handle, best_values):
            if time.monotonic() > schedule.end + _LAST_S:
                name, logs = handle.study.study_name, sandbox.workers.logs
                raise UserError(f"study {name} did not end; its workers' logs are in {logs}")
            sandbox.workers.restart_ended()
            schedule.tick()
            time.sleep(_TICK_S)
    finally:
        schedule.undo_all()
    if best_worsened(best_values, maximise=handle.spec.direction == "maximize"):
        report.violations.append(f"{handle.study.study_name}: the best value became worse: {best_values}")


def _check(sandbox: Sandbox, handle: StudyHandle, report: Report) -> list[str]:
    """Add an ended study to the report; return its violations."""
    found = violations(handle, sandbox.store)
    lost = lost_leases(handle)
    report.studies += 1
    report.trials += handle.spec.trials or 0
    report.violations += found
    report.lost_leases += len(lost)
    report.lost_by_living += sum(attempt["pid"] not in sandbox.workers.killed for attempt in lost)
    log.info("study %s ended: %d violations, %d lost leases", handle.study.study_name, len(found), len(lost))
    return found


def _has_ended(handle: StudyHandle, best_values: list[float]) -> bool:
    """Record the best value so far; return whether the study has ended, False during an outage."""
    with suppress(*DATABASE_ERRORS):
        best = best_trial(handle)
        if best is not None:
            best_values.append(best.values[0])
        return is_finished(handle)
    return False
