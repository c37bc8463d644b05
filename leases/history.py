"""Every attempt at a trial: who had it, from when to when, how far it came and how it ended.

The attempt that runs is the attribute ``HOLDER`` of the trial; those that have ended are its attribute
``HISTORY``, oldest first, which the dashboard shows too.
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
from .rows import get_past, set_attr

# How an attempt ended, where the trial's state does not say it.
HANDED_BACK, LOST, PAUSED = "handed back", "lost", "paused at a rung"

Attempt = Mapping[str, Any]


def new_holder(connection: Connection, trial_id: int, *, device: str) -> dict[str, Any]:
    """This process as the next to have the trial; its ``attempt`` is one more than any before.

    An attempt that nobody closed was paused at a rung: that hands a trial back without a word to its history.
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
    """Write down how the attempt that runs has ended, if there is one; all attempts so far.

    Call it in the transaction that takes the trial from its holder.
    """
    holder, past, epochs = get_past(connection, trial_id)
    if holder is None or holder["attempt"] <= len(past):
        return past
    closed = {**holder, "ended": _now(), "end": end, "epochs": epochs}
    set_attr(connection, trial_id, HISTORY, [*past, closed])
    return [*past, closed]


def attempts(trial: FrozenTrial) -> list[Attempt]:
    """Every attempt at a trial, also the one that runs or was paused last; ``ended`` and ``end`` may be missing."""
    past: list[Attempt] = HISTORY.get(trial) or []
    holder = HOLDER.get(trial)
    if holder is None or holder["attempt"] <= len(past):
        return past
    how = {} if trial.state == TrialState.RUNNING else {"end": PAUSED}
    return [*past, {**holder, **how, "epochs": len(trial.intermediate_values)}]


def num_lost(past: list[Attempt]) -> int:
    """How many workers were lost since the trial last came any further; other ends in between do not count."""
    last = [*takewhile(lambda attempt: attempt["epochs"] == past[-1]["epochs"], reversed(past))]
    return sum(attempt["end"] == LOST for attempt in last)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
