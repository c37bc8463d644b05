"""`venation chaos`: real workers on cheap trials, faults at random, and promises that must hold when all is over.

Everything happens in a home folder of its own, with a database server of its own. Studies follow one another until the
time is over, and those that kept their promises are deleted in turn; then the faults end, and the last study is brought
to its end by whoever is left.
"""

import logging
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from optuna.storages import RDBStorage

from ..data.synthetic import write_leaves
from ..errors import UserError
from ..leases.lease import DATABASE_ERRORS, StudyHandle, is_finished
from ..search.heartbeat import grace_seconds
from ..storage import embedded
from ..storage.artifacts import Artifacts, open_artifacts
from ..storage.database import open_storage
from ..studies.create import create_requested
from ..studies.registry import best_trial, delete_study
from ..studies.request import StudyRequest
from ..trials.kinds import Kind
from .crew import Crew, Post
from .faults import FAULTS, Undo, can_mount, fake_clock, least_done, unmount, write_true_clock
from .invariants import best_worsened, leftovers, num_cut_short, unrecorded, violations
from .wire import Cuttable, Namespace, Relay

log = logging.getLogger(__name__)

SESSION = "venation chaos worker"
SETTINGS = {
    "encoder.name": "test_resnet",
    "data.size": 32,
    "train.epochs": 5,
    "train.batch_size": 8,
    "train.optimizer": "adamw",
}
PRUNERS = ("none", "rungs", "median")
HEARTBEAT_S = 0.25
_STORE_BYTES = 256 << 20  # a study stores some 25 MB, and there are two at most
_FAULT_S = 4.0  # on average from one fault to the next
_TICK_S = 0.1
# After the last fault a study has this long to end: a worker that waits for the database tries again for ten minutes.
_LAST_S = 600


@dataclass
class Arena:
    """What the faults act on: the workers, their wires and clock, the server's storage and the artifact store."""

    storage: RDBStorage
    store: Artifacts
    folder: Path
    crew: Crew
    wires: list[Cuttable]
    clock: Path
    kinds: list[str]
    session: str = SESSION
    grace: float = grace_seconds(HEARTBEAT_S)
    due: float = 0.0  # when the next fault is, by the monotonic clock; studies come and go meanwhile


@dataclass
class Report:
    """What was done and what was found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    studies: int = 0
    trials: int = 0
    starts: int = 0
    violations: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """The report as one mapping."""
        return {
            "seed": self.seed,
            "faults": sum(self.faults.values()),
            **{f"fault {kind}": self.faults[kind] for kind in sorted(self.faults)},
            "not possible here": self.left_out,
            "studies": self.studies,
            "trials": self.trials,
            "workers started": self.starts,
            "violations": self.violations,
        }


def run_chaos(*, minutes: float, workers: int, seed: int, trials: int = 20) -> Report:
    """Run studies of ``trials`` trials with so many workers and a fault every four seconds for so many minutes.

    Raises UserError where the database cannot be started, or a study does not end ten minutes after the last fault.
    """
    report, rng = Report(seed), random.Random(seed)
    with _home(report) as home, _arena(home, workers) as arena:
        report.left_out = sorted(set(FAULTS) - set(arena.kinds))
        write_leaves(home / "leaves", classes=3, images=8, size=32, seed=seed)
        end = time.monotonic() + 60 * minutes
        arena.due = time.monotonic() + _FAULT_S
        sound: list[StudyHandle] = []
        cut_short = 0
        while time.monotonic() < end:
            handle = _create(arena, home / "leaves", number=report.studies, seed=seed, trials=trials)
            _run_study(arena, handle, end, rng, report)
            found = violations(handle, arena.store)
            log.info("study %s ended: %d violations", handle.study.study_name, len(found))
            report.studies += 1
            report.trials += trials
            report.violations += found
            cut_short += num_cut_short(handle)
            # The one before: somebody may still look for a trial of this one.
            for former in sound:
                report.violations += leftovers(former, arena.store, excused=arena.crew.untidy())
                delete_study(arena.storage, former.study.study_name, arena.store)
            sound = [] if found else [handle]
        arena.crew.drain()
        for former in sound:
            report.violations += leftovers(former, arena.store, excused=arena.crew.untidy())
        report.violations += unrecorded(arena.storage, arena.store, cut_short=cut_short)
        report.starts = arena.crew.starts
        report.violations += arena.crew.crashes
    return report


def _create(arena: Arena, leaves: Path, *, number: int, seed: int, trials: int) -> StudyHandle:
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
    return create_requested(arena.storage, arena.store, request)[0]


def _run_study(arena: Arena, handle: StudyHandle, end: float, rng: random.Random, report: Report) -> None:
    """Until the study has ended: keep the crew at work, do faults in their time, undo them, watch the best value."""
    undos: list[tuple[float, Undo]] = []
    seen: list[float] = []
    arena.crew.assign(handle.study.study_name)
    try:
        while not _ended(handle, seen):
            now = time.monotonic()
            if now > end + _LAST_S:
                raise UserError(
                    f"study {handle.study.study_name} did not end; its workers' logs are in {arena.crew.logs}"
                )
            undos = _undo(undos, now)
            arena.crew.tend()
            if arena.due < now < end and arena.crew.alive():
                kind = rng.choice(least_done(arena.kinds, report.faults))
                log.info("fault %d: %s", sum(report.faults.values()) + 1, kind)
                undo = FAULTS[kind](arena, rng)
                report.faults[kind] += 1
                undos += [(now, undo)] if undo else []
                arena.due = now + rng.uniform(0.5, 1.5) * _FAULT_S
            time.sleep(_TICK_S)
    finally:
        _undo(undos, float("inf"))
    if best_worsened(seen, maximise=handle.spec.direction == "maximize"):
        report.violations.append(f"{handle.study.study_name}: the best value became worse: {seen}")


def _undo(undos: list[tuple[float, Undo]], now: float) -> list[tuple[float, Undo]]:
    """Undo what is due; returns what is not."""
    for began, undo in undos:
        if began + undo.seconds <= now:
            undo.call()
    return [(began, undo) for began, undo in undos if began + undo.seconds > now]


def _ended(handle: StudyHandle, seen: list[float]) -> bool:
    with suppress(*DATABASE_ERRORS):
        best = best_trial(handle)
        if best is not None:
            seen.append(best.values[0])
        return is_finished(handle)
    return False


@contextmanager
def _home(report: Report) -> Iterator[Path]:
    """A home folder of the run's own, with its own server; gone afterwards, if no promise was broken."""
    before = os.environ.get("VENATION_HOME")
    home = Path(tempfile.mkdtemp(prefix="vc")).resolve()
    home.chmod(0o755)
    os.environ["VENATION_HOME"] = str(home)
    kept = True
    try:
        yield home
        kept = bool(report.violations)
    finally:
        with suppress(UserError):
            embedded.stop()
        # After the server's end: looking for one makes the folder anew.
        if kept:
            log.warning("the logs of the server and the workers stay in %s", home)
        else:
            shutil.rmtree(home)
        if before is None:
            del os.environ["VENATION_HOME"]
        else:
            os.environ["VENATION_HOME"] = before


@contextmanager
def _arena(home: Path, workers: int) -> Iterator[Arena]:
    storage = open_storage(embedded.start(), name="venation chaos")
    folder, clock = home / "artifacts", home / "clock"
    folder.mkdir()
    write_true_clock(clock)
    mounted = can_mount(folder, _STORE_BYTES)
    posts, wires, closers = _posts(home, workers, clock)
    crew = Crew(posts, store=folder, logs=home, session=SESSION)
    possible = {"fill_store": mounted, "lose_store": mounted, "jump_clock": any(post.clock for post in posts)}
    kinds = [kind for kind in FAULTS if possible.get(kind, True)]
    try:
        yield Arena(storage, open_artifacts(str(folder)), folder, crew, wires, clock, kinds)
    finally:
        crew.close()
        for close in closers:
            close()
        storage.engine.dispose()
        if mounted:
            unmount(str(folder))


def _posts(home: Path, workers: int, clock: Path) -> tuple[list[Post], list[Cuttable], list[Callable[[], None]]]:
    """Where each worker stands: behind a wire of its own; the first in a network namespace, the last with a clock."""
    query = parse_qs(urlsplit(embedded.start()).query)
    target = Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
    posts: list[Post] = []
    wires: list[Cuttable] = []
    closers: list[Callable[[], None]] = []
    for number in range(workers):
        namespace = None
        if number == 0:
            with suppress(subprocess.CalledProcessError, FileNotFoundError, PermissionError):
                namespace = Namespace(number)
        relay = Relay(target, host=namespace.host if namespace else "127.0.0.1")
        wires.append(namespace or relay)
        closers += [relay.close, *([namespace.close] if namespace else [])]
        url = f"postgresql://postgres@{namespace.host if namespace else '127.0.0.1'}:{relay.port}/{embedded.DATABASE}"
        timed = clock if number == workers - 1 and fake_clock() else None
        posts.append(Post(url, namespace.name if namespace else None, timed))
    return posts, wires, closers
