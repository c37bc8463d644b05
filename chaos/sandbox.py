"""The sandbox of a chaos run: a temporary home with its own server, store, workers and links."""

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from optuna.storages import RDBStorage

from ..errors import UserError
from ..search.heartbeat import grace_seconds
from ..storage import embedded
from ..storage.artifacts import Artifacts, open_artifacts
from ..storage.database import open_storage
from .clock import faketime_library, set_clock_offset
from .deletions import Deletions
from .network import Link, Namespace, Relay
from .older_version import OlderVersion
from .slow_store import set_delay
from .standby import server_socket
from .studies import HEARTBEAT_S, create_endless
from .worker_pool import Places, WorkerPool, WorkerSetup

log = logging.getLogger(__name__)

SESSION = "venation chaos worker"
_STORE_BYTES = 256 << 20  # a study stores some 25 MB, and the store has two at most


@dataclass
class Sandbox:
    """The objects that faults act on.

    ``links`` and ``relays`` are the workers' ways to the database, by worker; ``gateway`` is that
    of the run itself, which no fault cuts. ``homes`` are the two places of the server. ``folder``
    is below the artifact store, and ``can_mount`` if it is a file system of the run's. The files
    ``clock`` and ``delay`` shift the clock of one worker, and slow the store of all.
    """

    storage: RDBStorage
    store: Artifacts
    folder: Path
    workers: WorkerPool
    links: list[Link]
    relays: list[Relay]
    gateway: Relay
    homes: tuple[Path, Path]
    clock: Path
    delay: Path
    has_clock: bool
    can_mount: bool
    deletions: Deletions
    older: OlderVersion | None
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
def open_sandbox(home: Path, num_workers: int, *, leaves: Path, older: Path | None = None) -> Iterator[Sandbox]:
    """Start the server and the links of ``num_workers`` workers; end them all after the block.

    ``leaves`` are the images of its studies; ``older`` has a package ``venation``.
    """
    socket = server_socket(embedded.start())
    folder, other, clock, delay = home / "artifacts", home / "standby", home / "clock", home / "delay"
    folder.mkdir()
    other.mkdir()
    set_clock_offset(clock, 0)
    set_delay(delay, 0.0)
    with ExitStack() as stack:
        mounted = _mount(folder, _STORE_BYTES)
        if mounted:
            stack.callback(unmount, folder)
        gateway = _open_relay(stack, socket)
        setups, links, relays = _link_workers(stack, socket, num_workers, clock)
        storage = open_storage(_url(gateway), name="venation chaos")
        stack.callback(storage.engine.dispose)
        workers = WorkerPool(setups, Places(str(folder), str(delay), str(home), SESSION))
        stack.callback(workers.close)
        version = OlderVersion(older, url=_url(gateway), store=folder, logs=home) if older else None
        if version is not None:
            stack.callback(version.close)
        store = open_artifacts(str(folder))
        yield Sandbox(
            storage=storage,
            store=store,
            folder=folder,
            workers=workers,
            links=links,
            relays=relays,
            gateway=gateway,
            homes=(home, other),
            clock=clock,
            delay=delay,
            has_clock=any(setup.clock for setup in setups),
            can_mount=mounted,
            deletions=Deletions(
                storage,
                store,
                create=lambda name: create_endless(storage, store, leaves, name),
                start_worker=lambda name: workers.start_guest(_url(gateway), name),
            ),
            older=version,
        )


def _open_relay(stack: ExitStack, socket: Path, host: str = "127.0.0.1") -> Relay:
    relay = Relay(socket, host=host)
    stack.callback(relay.close)
    return relay


def _url(relay: Relay) -> str:
    return f"postgresql://{embedded.USER}@{relay.host}:{relay.port}/{embedded.DATABASE}"


def _link_workers(
    stack: ExitStack, socket: Path, number: int, clock: Path
) -> tuple[list[WorkerSetup], list[Link], list[Relay]]:
    """Give each worker a relay; the first also a network namespace, the last a clock file."""
    setups: list[WorkerSetup] = []
    links: list[Link] = []
    relays: list[Relay] = []
    for index in range(number):
        namespace = None
        if index == 0:
            with suppress(subprocess.CalledProcessError, FileNotFoundError, PermissionError):
                namespace = Namespace(index)
                stack.callback(namespace.close)
        relay = _open_relay(stack, socket, namespace.host if namespace else "127.0.0.1")
        relays.append(relay)
        links.append(namespace or relay)
        own_clock = clock if index == number - 1 and faketime_library() else None
        setups.append(WorkerSetup(_url(relay), namespace.name if namespace else None, own_clock))
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
