"""Connection pools between workers and PostgreSQL: PgBouncer and Optuna's gRPC proxy.

See docs/how-to/scale.md for PgBouncer.
"""

import configparser
import importlib.util
import multiprocessing
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from service import draw
from sqlalchemy import make_url

from venation.storage import embedded

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "scale.md"
HAS_PGBOUNCER = shutil.which("pgbouncer") is not None
HAS_GRPC = importlib.util.find_spec("grpc") is not None

_READY_S = 30.0


@contextmanager
def pgbouncer(folder: Path, *, mode: str, size: int) -> Iterator[tuple[str, int]]:
    """Run PgBouncer in front of the embedded server with the configuration of the docs page.

    Yields the database's URL through it and its process id.
    """
    server = make_url(embedded.start())
    socket_folder, port = str(server.query["host"]), _free_port()
    place = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir=folder))
    (place / "userlist.txt").write_text(f'"{server.username}" "simulated"\n')
    config = configparser.ConfigParser(interpolation=None)
    blocks = re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
    config.read_string(blocks[0])
    config["databases"] = {"*": f"host={socket_folder} port={server.query['port']}"}
    own = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_file": str(place / "userlist.txt"),
        "logfile": str(place / "log"),
        "pidfile": str(place / "pid"),
        "pool_mode": mode,
        "default_pool_size": str(size),
    }
    config["pgbouncer"].update(own)
    with (place / "pgbouncer.ini").open("w") as handle:
        config.write(handle)
    process = subprocess.Popen(
        [*_as_owner(place, socket_folder), str(place / "pgbouncer.ini")], stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process.poll)
        account = f"{server.username}:simulated"
        yield f"postgresql://{account}@127.0.0.1:{port}/{server.database}", process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def grpc_proxy() -> Iterator[tuple[int, int | None]]:
    """Run Optuna's proxy in front of the embedded server; yield its port and process id."""
    port = _free_port()
    process = multiprocessing.get_context("spawn").Process(target=_serve_grpc, args=(embedded.start(), port))
    process.start()
    try:
        _wait_for(port, lambda: process.exitcode)
        yield port, process.pid
    finally:
        process.terminate()
        process.join()


def run_plain_optuna(port: int | None, name: str, trials: int, ready: Callable[[], object]) -> float:
    """Run trials by plain Optuna in one process; return its CPU time in seconds.

    Uses the proxy at ``port``, or a direct connection if it is None.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    storage: optuna.storages.BaseStorage
    if port is None:
        storage = optuna.storages.get_storage(optuna.storages.RDBStorage(embedded.start()))
    else:
        storage = optuna.storages.GrpcStorageProxy(host="localhost", port=port)
    study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.TPESampler(seed=os.getpid()))
    ready()
    began = time.process_time()
    study.optimize(draw, n_trials=trials)
    return time.process_time() - began


def _serve_grpc(url: str, port: int) -> None:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.storages.run_grpc_proxy_server(optuna.storages.get_storage(url), host="localhost", port=port)


def _as_owner(place: Path, socket_folder: str) -> list[str]:
    """Return the command for the embedded server's user, as PgBouncer refuses to run as root."""
    if os.getuid() != 0:
        return ["pgbouncer"]
    owner = pwd.getpwuid(Path(socket_folder).stat().st_uid)
    os.chown(place, owner.pw_uid, owner.pw_gid)
    return ["pgbouncer", "-u", owner.pw_name]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(port: int, ended: Callable[[], int | None]) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert ended() is None and time.monotonic() < deadline, f"no process listens on port {port}"
        time.sleep(0.05)
