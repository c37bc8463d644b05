"""`venation chaos`: studies on real workers, random faults, and checks of the guarantees.

One study follows another until the time is over. A study without a violation is deleted after the
next one has ended. Then the faults stop, and the last study has ten minutes to end.
"""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..data.synthetic import write_leaves
from ..errors import UserError
from ..leases.budget import is_finished
from ..leases.lease import DATABASE_ERRORS
from ..search.handle import StudyHandle
from ..studies.registry import delete_study
from .faults import FAULTS, check_kinds, chosen_faults, possible_faults
from .invariants import FILES_OF_TRIAL, leftovers, lost_leases, num_cut_short, unrecorded, violations
from .older_version import REFUSED, WORKED, check_older
from .report import Report
from .sandbox import Sandbox, open_sandbox, temporary_home
from .schedule import FaultSchedule
from .studies import create_small
from .watch import Watch

log = logging.getLogger(__name__)

EVERY_S = 4.0  # on average from one fault to the next
_TICK_S = 0.1


@dataclass(frozen=True)
class ChaosRequest:
    """The request for a run: its length, its workers, and its faults.

    ``kinds`` are the faults, all that are possible if empty; ``every`` the seconds from one to the
    next, on average. ``older`` has the package ``venation`` of an older version.
    """

    minutes: float
    workers: int
    seed: int
    kinds: tuple[str, ...] = ()
    every: float = EVERY_S
    older: Path | None = None
    trials: int = 20


def run_chaos(request: ChaosRequest) -> Report:
    """Run studies on workers under faults.

    Raises UsageError for an unknown fault; UserError for one that is not possible here, if the
    database cannot be started, or if a study does not end long after the last fault.
    """
    check_kinds(request.kinds)
    if request.older is not None:
        check_older(request.older)
    report = Report(request.seed)
    with temporary_home(lambda: bool(report.violations)) as home:
        leaves = home / "leaves"
        write_leaves(leaves, classes=3, images=8, size=32, seed=request.seed)
        with open_sandbox(home, request.workers, leaves=leaves, older=request.older) as sandbox:
            kinds = chosen_faults(sandbox, request.kinds)
            report.left_out = sorted(set(FAULTS) - set(possible_faults(sandbox)))
            schedule = FaultSchedule(sandbox, report, kinds, every=request.every, seconds=60 * request.minutes)
            cut_short = _run_studies(sandbox, request, leaves, schedule, report)
            _check_sandbox(sandbox, report, cut_short=cut_short)
            report.check_kinds(kinds)
            report.check_lost_leases()
    return report


def _run_studies(sandbox: Sandbox, request: ChaosRequest, leaves: Path, schedule: FaultSchedule, report: Report) -> int:
    """Run one study after the other until the time is over; return their interrupted attempts."""
    former: StudyHandle | None = None
    cut_short = 0
    while not schedule.is_over():
        handle = create_small(
            sandbox.storage, sandbox.store, leaves, number=report.studies, seed=request.seed, trials=request.trials
        )
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
    return cut_short


def _check_sandbox(sandbox: Sandbox, report: Report, *, cut_short: int) -> None:
    """Add what the run left behind, and what its guests did, to the report."""
    sandbox.workers.await_guests()
    deleted = report.faults["delete_study"]
    report.violations += unrecorded(sandbox.storage, sandbox.store, most=(cut_short + deleted) * FILES_OF_TRIAL)
    report.violations += sandbox.deletions.strays()
    report.violations += sandbox.workers.crashes
    report.starts = sandbox.workers.starts
    # These count only if they had their effect.
    if deleted:
        report.faults["delete_study"] = sandbox.deletions.under_way
    if sandbox.older is not None:
        report.older = sandbox.older.outcomes
        report.violations += sandbox.older.crashes
        report.faults["old_worker"] = report.older[REFUSED] + report.older[WORKED]


def _run_study(sandbox: Sandbox, handle: StudyHandle, schedule: FaultSchedule, report: Report) -> None:
    """Keep the workers running under faults until the study has ended, and watch it."""
    watch = Watch(handle)
    sandbox.workers.assign(handle.study.study_name)
    has_ended = False
    try:
        while not (has_ended and schedule.is_quiet()):
            if schedule.is_overdue():
                raise UserError(f"study {handle.study.study_name} did not end; the logs are in {sandbox.homes[0]}")
            if not has_ended:
                sandbox.workers.restart_ended()
            schedule.tick(may_inject=not has_ended)
            time.sleep(_TICK_S)
            has_ended = _has_ended(handle, watch)
    finally:
        schedule.undo_all()
    report.violations += watch.violations()


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


def _has_ended(handle: StudyHandle, watch: Watch) -> bool:
    """Look at the study; return whether it has ended, False during an outage."""
    with suppress(*DATABASE_ERRORS):
        watch.sample()
        return is_finished(handle)
    return False
