"""The studies of a worker: claim trials of them in turn, and leave out broken studies."""

import logging
from collections.abc import Sequence

from ..errors import UserError
from ..leases.budget import check_exists, is_finished, unless_deleted
from ..leases.claim import claim, prune_paused
from ..leases.lease import Lease
from ..leases.suspension import check_suspended
from ..search.spec import split_base
from ..storage.database import StudyLocked
from ..studies.context import StudyContext
from .checkpoint_store import drop_checkpoints
from .worker_status import device_name

log = logging.getLogger(__name__)


class StudyQueue:
    """The ``active`` studies of a worker in turn, and the ``errors`` of those that it left out."""

    def __init__(self, contexts: Sequence[StudyContext], *, max_losses: int) -> None:
        self.active = list(contexts)
        self.errors: list[UserError] = []
        self._max_losses = max_losses

    def claim_next(self) -> tuple[StudyContext, Lease] | None:
        """Claim the next trial, and move its study to the end of the queue."""
        for context in tuple(self.active):
            try:
                with unless_deleted(context.handle):
                    if not context.ready:
                        check_exists(context.handle)
                        continue
                    lease = claim(context.handle, max_losses=self._max_losses, device=context_device(context))
            except StudyLocked:
                raise
            except UserError as error:
                self.leave_out(context, error)
                continue
            if lease is not None:
                self.active.remove(context)
                self.active.append(context)
                return context, lease
        return None

    def leave_out(self, context: StudyContext, error: UserError) -> None:
        """Remove a study that cannot continue, and keep its error."""
        log.error("study %s is left out: %s", context.handle.study.study_name, error)
        self.active.remove(context)
        self.errors.append(error)

    def prune_paused(self) -> int:
        """Prune the trials that wait at a rung in vain; return their number."""
        return sum(map(prune_stranded, self.active))

    def is_idle(self) -> bool:
        """Return whether every study has ended.

        Raises UserError if a study is suspended, or waits for a base that is not in this queue.
        """
        names = {context.handle.study.study_name for context in self.active}
        for context in self.active:
            base, _ = split_base(str(context.spec.base))
            if not context.ready and base not in names:
                raise UserError(
                    f"study `{context.handle.study.study_name}` needs a finished trial of its base study `{base}`,"
                    f" which has trials left to run; start `venation worker {base} {context.handle.study.study_name}`."
                )
        unfinished = [context for context in self.active if not is_finished(context.handle)]
        for context in unfinished:
            check_suspended(context.handle)
        return not unfinished

    def log_if_finished(self) -> bool:
        """Log that every study has ended and the worker waits; return whether that is so."""
        finished = bool(self.active) and all(is_finished(context.handle) for context in self.active)
        if finished:
            log.info(
                "every study has ended; waiting for more trials: Ctrl-C stops this worker, --until-idle does not wait"
            )
        return finished


def context_device(context: StudyContext) -> str:
    """Return the name of a context's device, as the trial's history and the worker list have it."""
    return device_name(context.device.type, context.device.index)


def prune_stranded(context: StudyContext) -> int:
    """Prune the paused trials of a study with nothing left to run; return their number."""
    try:
        with unless_deleted(context.handle):
            numbers = prune_paused(context.handle)
            for number in numbers:
                drop_checkpoints(context, number)
    except UserError:
        return 0  # deleted, or locked for a minute: the next claim raises the error
    for number in numbers:
        log.info("study %s trial %d: PRUNED", context.handle.study.study_name, number)
    return len(numbers)
