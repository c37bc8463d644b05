"""Who may run a trial: claims, signs of life and ends of trials, each under the study's lock.

A trial is one row from its creation to its end. A worker that dies leaves it RUNNING; the next claim puts it back to
WAITING, so that another worker resumes the same row: what was asked for is counted by rows, and ends exactly once.
"""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from ..errors import UserError
from ..storage.database import study_lock
from .ladder import next_waiting, prune_left
from .specs import StudySpec

LEASE = "venation:lease"
LOSSES = "venation:losses"

# What the database raises while it is away: directly, and through Optuna.
DATABASE_ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)

_EXISTS = sqlalchemy.text("SELECT 1 FROM studies WHERE study_id = :study")
_COUNT = sqlalchemy.text("SELECT state, count(*) FROM trials WHERE study_id = :study GROUP BY state")
_WAITING = sqlalchemy.text(
    "SELECT trial_id FROM trials WHERE study_id = :study AND state = 'WAITING' ORDER BY trial_id LIMIT 1"
)
_SILENT = sqlalchemy.text(
    "SELECT t.trial_id FROM trials t LEFT JOIN trial_heartbeats h ON h.trial_id = t.trial_id"
    " WHERE t.study_id = :study AND t.state = 'RUNNING'"
    " AND (h.heartbeat IS NULL OR h.heartbeat < LOCALTIMESTAMP - make_interval(secs => :grace))"
)


class LeaseLost(RuntimeError):
    """This trial is no longer ours: taken over after a silence longer than the study's grace, or deleted."""


@dataclass(frozen=True)
class StudyHandle:
    """A loaded study with its spec and the storage below it."""

    study: optuna.Study
    spec: StudySpec
    storage: RDBStorage

    @property
    def id(self) -> int:
        """The study's id in the database."""
        return self.study._study_id


class Lease:
    """The right to run one trial, kept alive by a thread until it ends. Use as a context manager."""

    def __init__(self, handle: StudyHandle, trial_id: int, token: str) -> None:
        self.handle = handle
        self.trial_id = trial_id
        self.trial = optuna.trial.Trial(handle.study, trial_id)
        self._token = token
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{trial_id}", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self.handle.spec.heartbeat):
            try:
                self.handle.storage.record_heartbeat(self.trial_id)
            except DATABASE_ERRORS:
                continue  # the database is away for a moment: the next beat tries again

    def check(self) -> None:
        """Raise LeaseLost if another worker has taken the trial over, or the trial was deleted."""
        where = f"trial {self.trial.number} of study `{self.handle.study.study_name}`"
        try:
            frozen = self.handle.storage.get_trial(self.trial_id)
        except KeyError:
            raise LeaseLost(f"{where} was deleted") from None
        if frozen.state != TrialState.RUNNING or frozen.system_attrs.get(LEASE) != self._token:
            raise LeaseLost(f"{where} went to another worker")

    def end(
        self,
        state: TrialState,
        value: float | None = None,
        *,
        cause: str | None = None,
        record: Callable[[], None] | None = None,
    ) -> None:
        """Tell the trial's end and its ``cause`` (or WAITING: hand it back).

        ``record`` is called just before, under the study's lock: what it writes is written by the trial's owner only.
        Raises LeaseLost, with nothing written, if the trial is no longer ours.
        """
        with study_lock(self.handle.storage, self.handle.id):
            self.check()
            if record is not None:
                record()
            if cause is not None:
                self.trial.set_user_attr("cause", cause)
            if state == TrialState.WAITING:
                self.handle.storage.set_trial_state_values(self.trial_id, state)
            else:
                self.handle.study.tell(self.trial, value, state=state)


def claim(handle: StudyHandle, *, max_losses: int) -> Lease | None:
    """The next trial to run, or None if every trial within the budget is taken.

    Trials whose worker fell silent come back first; one that lost more than ``max_losses`` workers is told FAIL (its
    checkpoint stays until the study is deleted). A trial that waits at a rung is to be had once it is promoted.
    Raises UserError if the study was deleted.
    """
    storage = handle.storage
    with study_lock(storage, handle.id):
        check_exists(handle)
        _requeue_silent(handle, max_losses)
        more = within_budget(handle)
        trial_id = next_waiting(handle, last=not more) if handle.spec.rungs else _waiting(handle)
        if trial_id is None and more:
            waiting = optuna.trial.create_trial(state=TrialState.WAITING)
            trial_id = storage.create_new_trial(handle.id, template_trial=waiting)
        if trial_id is None:
            return None
        token = uuid.uuid4().hex
        storage.record_heartbeat(trial_id)
        storage.set_trial_system_attr(trial_id, LEASE, token)
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    # Optuna's cache refuses to write to a trial that it has not read.
    handle.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    # Sampling needs no lock, and each trial has a seed of its own: no two workers draw the same stream.
    handle.study.sampler = handle.spec.build_sampler(storage.get_trial_number_from_id(trial_id))
    return Lease(handle, trial_id, token)


def end_paused(handle: StudyHandle) -> list[int]:
    """Tell PRUNED the trials that wait at a rung of a study in which nothing is left to run; returns their numbers.

    Raises UserError if the study was deleted.
    """
    if not handle.spec.rungs:
        return []
    with study_lock(handle.storage, handle.id):
        check_exists(handle)
        return [] if within_budget(handle) else prune_left(handle)


def check_exists(handle: StudyHandle) -> None:
    """Raise UserError if the study was deleted."""
    with handle.storage.engine.connect() as connection:
        if connection.execute(_EXISTS, {"study": handle.id}).scalar() is None:
            raise UserError(
                f"study `{handle.study.study_name}` was deleted; start the worker without it, or create it again."
            )


def count_states(handle: StudyHandle) -> dict[TrialState, int]:
    """How many trials are in each state."""
    with handle.storage.engine.connect() as connection:
        rows = connection.execute(_COUNT, {"study": handle.id}).all()
    return {TrialState[state]: number for state, number in rows}


def within_budget(handle: StudyHandle) -> bool:
    """Whether the study may still create a trial."""
    spec = handle.spec
    if spec.timeout is not None:
        created = datetime.fromisoformat(handle.study.user_attrs["created"])
        if datetime.now(UTC) - created > timedelta(seconds=spec.timeout):
            return False
    return spec.trials is None or sum(count_states(handle).values()) < spec.trials


def is_finished(handle: StudyHandle) -> bool:
    """Whether the budget is used up and every trial has ended."""
    # Under the lock: a claim between the two questions would make a study with a running trial look finished.
    with study_lock(handle.storage, handle.id):
        counts = count_states(handle)
        unfinished = counts.get(TrialState.RUNNING, 0) + counts.get(TrialState.WAITING, 0)
        return unfinished == 0 and not within_budget(handle)


def _waiting(handle: StudyHandle) -> int | None:
    with handle.storage.engine.connect() as connection:
        return connection.execute(_WAITING, {"study": handle.id}).scalar()


def _requeue_silent(handle: StudyHandle, max_losses: int) -> None:
    storage = handle.storage
    with storage.engine.connect() as connection:
        silent = connection.execute(_SILENT, {"study": handle.id, "grace": handle.spec.grace}).scalars().all()
    for trial_id in silent:
        losses = 1 + storage.get_trial(trial_id).system_attrs.get(LOSSES, 0)
        storage.set_trial_system_attr(trial_id, LOSSES, losses)
        if losses > max_losses:
            storage.set_trial_user_attr(trial_id, "cause", f"lost: {losses} workers died while running this trial")
            storage.set_trial_state_values(trial_id, TrialState.FAIL)
        else:
            storage.set_trial_state_values(trial_id, TrialState.WAITING)
