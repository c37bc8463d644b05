"""Reap lost trials of all studies, so that they are requeued even if no worker runs on a study."""

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
    """Reap all studies that this version can read; return the numbers of reaped trials by study."""
    found: dict[str, list[int]] = {}
    for name in study_names(storage):
        # Skip a study of another version, one deleted meanwhile, and one whose lock is held.
        with suppress(UserError, KeyError):
            if numbers := reap(open_study(storage, name), max_losses=max_losses):
                found[name] = numbers
    return found


def reap_forever(storage: RDBStorage, *, interval: float, max_losses: int) -> None:
    """Reap every ``interval`` seconds until a stop signal; retry while the database is down."""
    with stop_signals(DRAIN_SECONDS) as stop, suppress(Stopped):
        while not stop.is_set():
            try:
                reap_once(storage, max_losses=max_losses)
            except DATABASE_ERRORS as error:
                if not is_outage(error):
                    raise
                log.warning("the database does not answer (%s); trying again", type(error).__name__)
            stop.wait(interval)
