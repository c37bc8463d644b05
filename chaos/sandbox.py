"""The sandbox of a chaos run: a temporary home with its own server, store, workers and links."""

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from optuna.storages import RDBStorage

from ..errors import UserError
from ..search.heartbeat import grace_seconds
from ..storage import embedded
from ..storage.artifacts import Artifacts, open_artifacts
from ..storage.database import open_storage
from .clock import faketime_library, set_clock_offset
from .network import Link, Namespace, Relay
from .worker_pool import WorkerPool, WorkerSetup

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.25  # short, so that many faults outlast the grace of three seconds
SESSION = "venation chaos worker"
_STORE_BYTES = 256 << 20  # a study stores some 25 MB, and the store has two at most


@dataclass
class Sandbox:
    """The objects that faults act on.

    ``links`` and ``relays`` are the workers' ways to the database, by worker; ``folder`` is below
    the artifact store, and ``can_mount`` if it is a file system of the run's.
    """

    storage: RDBStorage
    store: Artifacts
    folder: Path
    workers: WorkerPool
    links: list[Link]
    relays: list[Relay]
    clock: Path
    has_clock: bool
    can_mount: bool
    session: str = SESSION
    grace: float = grace_seconds(HEARTBEAT_S)


@contextmanager
def temporary_home(must_keep: Callable[[], bool]) -> Iterator[Path]:
    """Set VENATION_HOME to a new folder; remove it afterwards unless ``must_keep`` or an error."""
    before = os.environ.get("VENATION_HOME")
    home = Path(tempfile.mkdtemp(prefix="vc")).resolve()
    home.chmod(0o755)
    os.environ["VENATION_HOME"] = str(home)
    kept = True
    try:
        yield home
        kept = must_keep()
    finally:
        with suppress(UserError):
            embedded.stop()
        # After the server has stopped: a look for a server creates the folder again.
        if kept:
            log.warning("the logs of the server and the workers stay in %s", home)
        else:
            shutil.rmtree(home)
        if before is None:
            del os.environ["VENATION_HOME"]
        else:
            os.environ["VENATION_HOME"] = before


@contextmanager
def open_sandbox(home: Path, num_workers: int) -> Iterator[Sandbox]:
    """Start the server and the links of ``num_workers`` workers; end them all after the block."""
    storage = open_storage(embedded.start(), name="venation chaos")
    folder, clock = home / "artifacts", home / "clock"
    folder.mkdir()
    set_clock_offset(clock, 0)
    mounted = _mount(folder, _STORE_BYTES)
    setups, links, relays = _link_workers(num_workers, clock)
    workers = WorkerPool(setups, store=folder, logs=home, session=SESSION)
    has_clock = any(setup.clock for setup in setups)
    try:
        store = open_artifacts(str(folder))
        yield Sandbox(storage, store, folder, workers, links, relays, clock, has_clock, mounted)
    finally:
        workers.close()
        for relay in relays:
            relay.close()
        for link in links:
            if isinstance(link, Namespace):
                link.close()
        storage.engine.dispose()
        if mounted:
            unmount(folder)


def _link_workers(number: int, clock: Path) -> tuple[list[WorkerSetup], list[Link], list[Relay]]:
    """Give each worker a relay; the first also a network namespace, the last a clock file."""
    query = parse_qs(urlsplit(embedded.start()).query)
    target = Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
    setups: list[WorkerSetup] = []
    links: list[Link] = []
    relays: list[Relay] = []
    for index in range(number):
        namespace = None
        if index == 0:
            with suppress(subprocess.CalledProcessError, FileNotFoundError, PermissionError):
                namespace = Namespace(index)
        host = namespace.host if namespace else "127.0.0.1"
        relay = Relay(target, host=host)
        relays.append(relay)
        links.append(namespace or relay)
        url = f"postgresql://{embedded.USER}@{host}:{relay.port}/{embedded.DATABASE}"
        own_clock = clock if index == number - 1 and faketime_library() else None
        setups.append(WorkerSetup(url, namespace.name if namespace else None, own_clock))
    return setups, links, relays


def _mount(folder: Path, size: int) -> bool:
    """Mount ``size`` bytes of memory over ``folder``; return False where this user may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def unmount(folder: Path) -> None:
    """Unmount the uppermost file system of ``folder``, even if its files are open."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
