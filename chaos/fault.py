"""A fault, its end, and the choice of the worker that it hits."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from ..leases.lease import DATABASE_ERRORS
from ..workers.worker_status import list_workers
from .sandbox import Sandbox

_LONG_SHARE = 0.75  # of the faults that silence a worker, those that outlast the grace


class Undo(NamedTuple):
    """The end of a fault: seconds from its beginning, and a call.

    ``outlasts_grace``: the fault silenced a busy worker until its lease can be lost. ``is_ready``:
    whether the fault has had its effect; the call waits for it, but not for ever.
    """

    seconds: float
    call: Callable[[], None]
    outlasts_grace: bool = False
    is_ready: Callable[[], bool] = lambda: True


class NotNow(Exception):
    """A fault that another one, which has taken the store, keeps from having an effect."""


# A fault returns how and when to undo it, or None if there is nothing to undo; or raises NotNow.
Fault = Callable[[Sandbox, random.Random], Undo | None]


def busy_workers(sandbox: Sandbox) -> set[int]:
    """Return the process ids of the workers that run a trial; none in an outage."""
    with suppress(*DATABASE_ERRORS):
        return {row["pid"] for row in list_workers(sandbox.storage) if row["state"] == "busy"}
    return set()


def pick_worker(sandbox: Sandbox, rng: random.Random) -> tuple[int, int, bool]:
    """Choose a worker, if possible a busy one: return its number, process id, and if it is busy."""
    running, busy = sandbox.workers.running(), busy_workers(sandbox)
    candidates = [number for number, pid in running.items() if pid in busy]
    number = rng.choice(candidates or [*running])
    return number, running[number], bool(candidates)


def silence(sandbox: Sandbox, rng: random.Random, is_busy: bool, call: Callable[[], None]) -> Undo:
    """Return the undo of a fault that silences a worker: mostly after the grace, else before."""
    if rng.random() < _LONG_SHARE:
        # Longer than the grace by seconds: another worker has to end its own trial before it
        # claims.
        return Undo(sandbox.grace + rng.uniform(1.0, 5.0), call, outlasts_grace=is_busy)
    return Undo(rng.uniform(0.5, sandbox.grace - 0.5), call)
