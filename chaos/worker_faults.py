"""Faults of single workers: their processes, networks, clocks and versions."""

import random
import signal

from sqlalchemy import text

from .clock import set_clock_offset
from .fault import Undo, pick_worker, silence
from .sandbox import Sandbox

_TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = :name"
)


def kill(sandbox: Sandbox, rng: random.Random) -> None:
    """Kill a worker with SIGKILL."""
    sandbox.workers.signal(pick_worker(sandbox, rng)[1], signal.SIGKILL)


def pause(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Stop a worker with SIGSTOP, then resume it with SIGCONT, mostly after its lease expired."""
    _, pid, is_busy = pick_worker(sandbox, rng)
    sandbox.workers.signal(pid, signal.SIGSTOP)
    return silence(sandbox, rng, is_busy, lambda: sandbox.workers.signal(pid, signal.SIGCONT))


def drain(sandbox: Sandbox, rng: random.Random) -> None:
    """Send SIGTERM to a worker, as a scheduler does; the pool starts another."""
    sandbox.workers.signal(pick_worker(sandbox, rng)[1], signal.SIGTERM)


def disconnect(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Drop every worker's connections at the server; let one worker reconnect only later."""
    number, _, is_busy = pick_worker(sandbox, rng)
    with sandbox.storage.engine.begin() as connection:
        connection.execute(_TERMINATE, {"name": sandbox.session})
    relay = sandbox.relays[number]
    relay.refuse()
    return silence(sandbox, rng, is_busy, relay.admit)


def cut(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Cut a worker's network link, mostly until its lease has expired."""
    number, _, is_busy = pick_worker(sandbox, rng)
    link = sandbox.links[number]
    link.cut()
    return silence(sandbox, rng, is_busy, link.restore)


def jump_clock(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Step the clock of one worker by up to a day, forwards or backwards, and step it back."""
    set_clock_offset(sandbox.clock, rng.choice((-1, 1)) * rng.randint(60, 86400))
    return Undo(rng.uniform(1.0, 5.0), lambda: set_clock_offset(sandbox.clock, 0))


def old_worker(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Start a worker of an older version on the study; stop it unless it refuses before."""
    assert sandbox.older is not None and sandbox.workers.study is not None
    guest = sandbox.older.start_worker(sandbox.workers.study)
    return Undo(rng.uniform(2.0, 5.0), guest.finish, is_ready=guest.has_ended)
