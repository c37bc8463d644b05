"""Faults that a service meets, done to real processes: each returns how to undo it and after how many seconds.

None where a fault needs what this machine does not allow; the arena leaves such kinds out from the beginning.
"""

import os
import random
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
from sqlalchemy import text

from ..storage import embedded

if TYPE_CHECKING:
    from .run import Arena

BALLAST = ".ballast"
_SESSIONS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = :name"
)
_FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class Undo(NamedTuple):
    """What ends a fault, and when: seconds from its beginning."""

    seconds: float
    call: Callable[[], None]


Fault = Callable[["Arena", random.Random], Undo | None]


def kill(arena: "Arena", rng: random.Random) -> None:
    """kill -9 of a worker."""
    arena.crew.signal(rng.choice(arena.crew.alive()), signal.SIGKILL)


def pause(arena: "Arena", rng: random.Random) -> Undo:
    """SIGSTOP of a worker until its grace is over, then SIGCONT: it wakes to a trial that is another's."""
    pid = rng.choice(arena.crew.alive())
    arena.crew.signal(pid, signal.SIGSTOP)
    return Undo(arena.grace + rng.uniform(0.5, 3.0), lambda: arena.crew.signal(pid, signal.SIGCONT))


def drain(arena: "Arena", rng: random.Random) -> None:
    """SIGTERM: a worker that is stopped politely, as by a scheduler; another takes its place."""
    arena.crew.signal(rng.choice(arena.crew.alive()), signal.SIGTERM)


def disconnect(arena: "Arena", _: random.Random) -> None:
    """The server drops every worker's connections."""
    with arena.storage.engine.begin() as connection:
        connection.execute(_SESSIONS, {"name": arena.session})


def restart_server(arena: "Arena", _: random.Random) -> None:
    """PostgreSQL is stopped and started."""
    embedded.stop()
    embedded.start()


def crash_server(arena: "Arena", _: random.Random) -> None:
    """kill -9 of the postmaster, then a start with recovery."""
    running = embedded.status()
    if running is not None:
        with suppress(ProcessLookupError):
            os.kill(running["pid"], signal.SIGKILL)
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(running["pid"]).wait(10)
    embedded.start()


def cut(arena: "Arena", rng: random.Random) -> Undo:
    """A worker's network is cut until its grace is over: its own namespace where root allows, else its relay."""
    wire = rng.choice(arena.wires)
    wire.cut()
    return Undo(rng.uniform(0.5, arena.grace + 2.0), wire.mend)


def fill_store(arena: "Arena", rng: random.Random) -> Undo:
    """The disk below the artifact store is full."""
    ballast = arena.folder / BALLAST
    with suppress(OSError), ballast.open("wb") as handle:
        while True:
            handle.write(bytes(1 << 16))
    with suppress(OSError), ballast.open("ab") as handle:
        handle.write(bytes(1))
    return Undo(rng.uniform(1.0, 3.0), lambda: ballast.unlink(missing_ok=True))


def lose_store(arena: "Arena", rng: random.Random) -> Undo:
    """The artifact store cannot be written to: another, read-only file system lies over it for a while."""
    folder = str(arena.folder)
    arena.crew.lose_store()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", folder], check=True, capture_output=True)
    return Undo(rng.uniform(1.0, 3.0), lambda: unmount(folder))


def jump_clock(arena: "Arena", rng: random.Random) -> Undo:
    """The clock of one worker jumps by up to a day, forwards or backwards, and later back."""
    arena.clock.write_text(f"{rng.choice((-1, 1)) * rng.randint(60, 86400):+d}")
    return Undo(rng.uniform(1.0, 5.0), lambda: write_true_clock(arena.clock))


def write_true_clock(path: Path) -> None:
    """Let the clock of ``path`` be the machine's own."""
    path.write_text("+0")


def unmount(folder: str) -> None:
    """Take the uppermost file system off ``folder``, whoever has files of it open."""
    subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


def fake_clock() -> Path | None:
    """The library that gives a process another time (Debian: libfaketime), or None."""
    return _FAKETIME[0] if _FAKETIME else None


def can_mount(folder: Path, size: int) -> bool:
    """Mount ``size`` bytes of memory over ``folder``; False where this user may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


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


def least_done(kinds: list[str], done: Mapping[str, int]) -> list[str]:
    """The kinds that were done least often, so that a short run has some of each."""
    fewest = min(done.get(kind, 0) for kind in kinds)
    return [kind for kind in kinds if done.get(kind, 0) == fewest]
