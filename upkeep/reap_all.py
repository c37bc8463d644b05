"""The reaper as a process of its own: over all studies, so that a dead worker's trial does not wait for a live one."""

import logging
from contextlib import suppress

from optuna.storages import RDBStorage

from ..errors import UserError
from ..leases.lease import DATABASE_ERRORS
from ..leases.reaper import reap
from ..storage.db_errors import is_outage
from ..studies.registry import open_study, study_names
from ..workers.signals import DRAIN_SECONDS, Stopped, stop_signals

log = logging.getLogger(__name__)


def reap_once(storage: RDBStorage, *, max_losses: int) -> dict[str, list[int]]:
    """The numbers of the trials that were brought back, by study; a study of another version is left alone."""
    found: dict[str, list[int]] = {}
    for name in study_names(storage):
        # Of another version, deleted a moment ago, or its lock is held: another time.
        with suppress(UserError, KeyError):
            if numbers := reap(open_study(storage, name), max_losses=max_losses):
                found[name] = numbers
    return found


def reap_forever(storage: RDBStorage, *, interval: float, max_losses: int) -> None:
    """Look every ``interval`` seconds until told to stop. A database that is away is waited for, however long it is."""
    with stop_signals(DRAIN_SECONDS) as stop, suppress(Stopped):
        while not stop.is_set():
            try:
                reap_once(storage, max_losses=max_losses)
            except DATABASE_ERRORS as error:
                if not is_outage(error):
                    raise
                log.warning("the database does not answer (%s); trying again", type(error).__name__)
            stop.wait(interval)
