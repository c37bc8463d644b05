"""Faults that a service meets, for the workers and the server of a sandbox.

Each fault returns how and when to undo it, or None if there is nothing to undo.
"""

import os
import random
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import psutil
from sqlalchemy import text

from ..leases.lease import DATABASE_ERRORS
from ..storage import embedded
from ..workers.worker_status import list_workers
from .clock import set_clock_offset
from .sandbox import Sandbox, unmount

BALLAST = ".ballast"
_LONG_SHARE = 0.75  # of the faults that silence a worker, those that outlast the grace
_TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = :name"
)


class Undo(NamedTuple):
    """The end of a fault: seconds from its beginning, and a call.

    ``outlasts_grace``: the fault silenced a busy worker until its lease can be lost.
    """

    seconds: float
    call: Callable[[], None]
    outlasts_grace: bool = False


Fault = Callable[[Sandbox, random.Random], Undo | None]


def kill(sandbox: Sandbox, rng: random.Random) -> None:
    """Kill a worker with SIGKILL."""
    sandbox.workers.signal(_any_pid(sandbox, rng), signal.SIGKILL)


def pause(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Stop a worker with SIGSTOP, then resume it with SIGCONT, mostly after its lease expired."""
    _, pid, is_busy = _pick_worker(sandbox, rng)
    sandbox.workers.signal(pid, signal.SIGSTOP)
    return _silence(sandbox, rng, is_busy, lambda: sandbox.workers.signal(pid, signal.SIGCONT))


def drain(sandbox: Sandbox, rng: random.Random) -> None:
    """Send SIGTERM to a worker, as a scheduler does; the pool starts another."""
    sandbox.workers.signal(_any_pid(sandbox, rng), signal.SIGTERM)


def disconnect(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Drop every worker's connections at the server; let one worker reconnect only later."""
    number, _, is_busy = _pick_worker(sandbox, rng)
    with sandbox.storage.engine.begin() as connection:
        connection.execute(_TERMINATE, {"name": sandbox.session})
    relay = sandbox.relays[number]
    relay.refuse()
    return _silence(sandbox, rng, is_busy, relay.admit)


def restart_server(sandbox: Sandbox, _: random.Random) -> None:
    """Stop PostgreSQL and start it again."""
    embedded.stop()
    embedded.start()


def crash_server(sandbox: Sandbox, _: random.Random) -> None:
    """Kill the postmaster with SIGKILL, then start it with recovery."""
    running = embedded.status()
    if running is not None:
        with suppress(ProcessLookupError):
            os.kill(running["pid"], signal.SIGKILL)
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(running["pid"]).wait(10)
    embedded.start()


def cut(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Cut a worker's network link, mostly until its lease has expired."""
    number, _, is_busy = _pick_worker(sandbox, rng)
    link = sandbox.links[number]
    link.cut()
    return _silence(sandbox, rng, is_busy, link.restore)


def fill_store(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Fill the disk below the artifact store."""
    ballast = sandbox.folder / BALLAST
    with suppress(OSError), ballast.open("wb") as handle:
        while True:
            handle.write(bytes(1 << 16))
    with suppress(OSError), ballast.open("ab") as handle:
        handle.write(bytes(1))
    return Undo(rng.uniform(1.0, 3.0), lambda: ballast.unlink(missing_ok=True))


def lose_store(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Mount an empty read-only file system over the artifact store."""
    sandbox.workers.note_lost_store()
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", str(sandbox.folder)]
    subprocess.run(command, check=True, capture_output=True)
    return Undo(rng.uniform(1.0, 3.0), lambda: unmount(sandbox.folder))


def jump_clock(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Shift the clock of one worker by up to a day, forwards or backwards."""
    set_clock_offset(sandbox.clock, rng.choice((-1, 1)) * rng.randint(60, 86400))
    return Undo(rng.uniform(1.0, 5.0), lambda: set_clock_offset(sandbox.clock, 0))


FAULTS: Mapping[str, Fault] = {
    "kill": kill,
    "pause": pause,
    "drain": drain,
    "disconnect": disconnect,
    "restart_server": restart_server,
    "crash_server": crash_server,
    "cut": cut,
    "fill_store": fill_store,
    "lose_store": lose_store,
    "jump_clock": jump_clock,
}


def possible_faults(sandbox: Sandbox) -> list[str]:
    """Return the faults that this machine allows."""
    needs = {"fill_store": sandbox.can_mount, "lose_store": sandbox.can_mount, "jump_clock": sandbox.has_clock}
    return [kind for kind in FAULTS if needs.get(kind, True)]


def least_frequent(kinds: list[str], counts: Mapping[str, int]) -> list[str]:
    """Return the kinds with the lowest count, so that a short run has some of each."""
    fewest = min(counts.get(kind, 0) for kind in kinds)
    return [kind for kind in kinds if counts.get(kind, 0) == fewest]


def _any_pid(sandbox: Sandbox, rng: random.Random) -> int:
    return rng.choice([*sandbox.workers.running().values()])


def _pick_worker(sandbox: Sandbox, rng: random.Random) -> tuple[int, int, bool]:
    """Choose a worker, if possible a busy one: return its number, process id, and if it is busy."""
    running = sandbox.workers.running()
    busy: set[int] = set()
    with suppress(*DATABASE_ERRORS):
        busy = {row["pid"] for row in list_workers(sandbox.storage) if row["state"] == "busy"}
    candidates = [number for number, pid in running.items() if pid in busy]
    number = rng.choice(candidates or [*running])
    return number, running[number], bool(candidates)


def _silence(sandbox: Sandbox, rng: random.Random, is_busy: bool, call: Callable[[], None]) -> Undo:
    """Return the undo of a fault that silences a worker: mostly after the grace, else before."""
    if rng.random() < _LONG_SHARE:
        # Longer than the grace by seconds: another worker has to end its own trial before it
        # claims.
        return Undo(sandbox.grace + rng.uniform(1.0, 5.0), call, outlasts_grace=is_busy)
    return Undo(rng.uniform(0.5, sandbox.grace - 0.5), call)
