"""Faults of what all workers share: the database server, the artifact store, the study."""

import random
import subprocess
import time
from contextlib import suppress
from io import FileIO

import psutil

from ..storage import embedded
from ..storage.artifacts import StoreFailed
from .fault import NotNow, Undo
from .sandbox import Sandbox, unmount
from .slow_store import set_delay
from .standby import fail_over

BALLAST = ".ballast"


def restart_server(sandbox: Sandbox, _: random.Random) -> None:
    """Stop PostgreSQL and start it again."""
    embedded.stop()
    embedded.start()


def crash_server(sandbox: Sandbox, _: random.Random) -> None:
    """Kill the postmaster with SIGKILL, then start it with recovery."""
    running = embedded.status()
    if running is not None:
        postmaster = psutil.Process(running["pid"])
        postmaster.kill()
        while embedded.is_alive(postmaster):
            time.sleep(0.02)
    embedded.start()


def failover(sandbox: Sandbox, _: random.Random) -> None:
    """Kill the primary server and all its sessions, and promote a streaming standby of it."""
    socket = fail_over(sandbox.homes)
    for relay in (*sandbox.relays, sandbox.gateway):
        relay.lead_to(socket)


def fill_store(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Fill the disk below the artifact store."""
    try:
        ballast = (sandbox.folder / BALLAST).open("wb", buffering=0)
    except OSError:
        raise NotNow from None
    with suppress(OSError):
        while True:
            ballast.write(bytes(1 << 16))
    # By the open file: another file system may lie over its name by then.
    return Undo(rng.uniform(1.0, 3.0), lambda: _empty(ballast))


def lose_store(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Mount an empty read-only file system over the artifact store."""
    sandbox.workers.note_lost_store()
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", str(sandbox.folder)]
    subprocess.run(command, check=True, capture_output=True)
    return Undo(rng.uniform(1.0, 3.0), lambda: unmount(sandbox.folder))


def slow_store(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Let every access to the artifact store take up to two thirds of the grace longer."""
    set_delay(sandbox.delay, rng.uniform(0.3, sandbox.grace * 2 / 3))
    return Undo(rng.uniform(3.0, 6.0), lambda: set_delay(sandbox.delay, 0.0))


def delete_study(sandbox: Sandbox, rng: random.Random) -> Undo:
    """Start a worker on a study of its own, and delete that study while its trial runs."""
    try:
        deletion = sandbox.deletions.begin()
    except StoreFailed:
        raise NotNow from None
    return Undo(rng.uniform(1.0, 3.0), deletion.delete, is_ready=deletion.is_under_way)


def _empty(file: FileIO) -> None:
    file.truncate(0)
    file.close()
