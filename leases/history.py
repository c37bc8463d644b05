"""The attempts at a trial: worker, start, end, epochs, and how each ended.

The running attempt is the trial's attribute ``HOLDER``. The ended ones are its attribute
``HISTORY``, oldest first.
"""

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from ..storage.attributes import HISTORY, HOLDER
from .attribute_rows import set_attr
from .rows import get_past

# Ends of an attempt that differ from the trial's state.
HANDED_BACK, LOST, PAUSED = "handed back", "lost", "paused at a rung"

Attempt = Mapping[str, Any]


def new_holder(connection: Connection, trial_id: int, *, device: str) -> dict[str, Any]:
    """Return the record of this process as the trial's next holder, with the next attempt number.

    An attempt that is still open was paused at a rung, which does not write the history.
    """
    past = close_attempt(connection, trial_id, PAUSED)
    return {
        "attempt": len(past) + 1,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device,
        "started": _now(),
    }


def close_attempt(connection: Connection, trial_id: int, end: str) -> list[Attempt]:
    """Record the end of the running attempt, if there is one; return all attempts so far.

    Call it in the transaction that takes the trial from its holder.
    """
    holder, past, epochs = get_past(connection, trial_id)
    if holder is None or holder["attempt"] <= len(past):
        return past
    closed = {**holder, "ended": _now(), "end": end, "epochs": epochs}
    set_attr(connection, trial_id, HISTORY, [*past, closed])
    return [*past, closed]


def attempts(trial: FrozenTrial) -> list[Attempt]:
    """Return every attempt; a running or paused one may lack ``ended`` and ``end``."""
    past: list[Attempt] = HISTORY.get(trial) or []
    holder = HOLDER.get(trial)
    if holder is None or holder["attempt"] <= len(past):
        return past
    end = {} if trial.state == TrialState.RUNNING else {"end": PAUSED}
    return [*past, {**holder, **end, "epochs": len(trial.intermediate_values)}]


def num_lost(past: list[Attempt]) -> int:
    """Count the workers lost since the trial last completed an epoch; other ends do not count."""
    last = [*takewhile(lambda attempt: attempt["epochs"] == past[-1]["epochs"], reversed(past))]
    return sum(attempt["end"] == LOST for attempt in last)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
