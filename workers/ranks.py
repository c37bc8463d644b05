"""Train one trial with several processes: start them, follow their epochs, end them together."""

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ..data.loader import Loader
from ..errors import UsageError
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from ..trials.errors import LessMemory, TrialFailed
from ..trials.fit_state import EpochResult
from ..trials.kinds import Task
from ..trials.trial_config import TrialConfig
from .rank import DONE, FOREVER, KINDS, error_key, go_key, result_key
from .rank_job import LoaderSpec, RankJob, load_best

_POLL_S = 0.02
_ENDS_S = 5.0
# All processes are on this machine, and no other machine may reach them.
_HOST, _LOOPBACK = "127.0.0.1", "lo0" if sys.platform == "darwin" else "lo"

Process = subprocess.Popen[bytes]


def fit_on_ranks(
    network: MultitaskNetwork,
    train: Loader,
    val: Loader,
    config: TrialConfig,
    *,
    task: Task,
    device: torch.device,
    monitor: str,
    checkpoint: Path,
    processes: int,
) -> Iterator[EpochResult]:
    """Train as ``trials.train.fit`` does, with one process on each of ``processes`` devices.

    Batches, learning rate, checkpoint and results are those of one process. After an epoch the
    processes wait until the caller asks for the next one. If one is out of memory, all start again
    from the checkpoint with half the micro-batch. Raises the errors of ``fit``; TrialFailed with
    cause ``rank`` if a process dies; UsageError for batches smaller than the group.
    """
    batch = config.train.batch_size
    if batch < processes:
        raise UsageError(
            f"train.batch_size={batch} is less than the {processes} processes of a trial;"
            f" raise it to {processes}, or start the worker with fewer."
        )
    seed, balanced = config.train.seed, config.train.balance == "sampler"
    loaders = (
        LoaderSpec.of(train, train=True, seed=seed, balanced=balanced),
        LoaderSpec.of(val, train=False, seed=seed, balanced=False),
    )
    job = RankJob(config, task, monitor, device.type, processes, 0, checkpoint, loaders)
    with tempfile.TemporaryDirectory(dir=checkpoint.parent, prefix="ranks-") as name:
        folder = Path(name)
        while True:
            job.write(folder, network)
            try:
                yield from _follow(job, folder)
            except LessMemory as short:
                job = replace(job, limit=short.images)
            else:
                break
        load_best(network, task, folder)
    place(network, device)


def _follow(job: RankJob, folder: Path) -> Iterator[EpochResult]:
    """Start the processes and yield their results; end them all at the end, or where one failed."""
    store = _open_store()
    processes: list[Process] = []
    try:
        for rank in range(job.world):
            processes.append(_start(folder, rank, job.world, store.port))
        for turn in itertools.count():
            record = _next_result(store, processes, turn)
            if record is None:
                break
            yield EpochResult(**record)
            store.set(go_key(turn), "1")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _open_store() -> TCPStore:
    """Open the store at which the processes meet, for this machine alone.

    It has no login, and by itself would listen on every address.
    """
    with socket.socket() as listening:
        listening.bind((_HOST, 0))
        listening.listen()
        port = listening.getsockname()[1]
        handle = listening.detach()
    return TCPStore(_HOST, port, is_master=True, timeout=FOREVER, wait_for_workers=False, master_listen_fd=handle)


def _start(folder: Path, rank: int, world: int, port: int) -> Process:
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // world))
    variables = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": threads,
        # Without warnings that a search for parameters without gradients was in vain.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "GLOO_SOCKET_IFNAME": _LOOPBACK,
        "NCCL_SOCKET_IFNAME": _LOOPBACK,
    }
    command = [sys.executable, "-m", "venation.workers.rank", str(folder), str(os.getpid())]
    return subprocess.Popen(command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)


def _next_result(store: TCPStore, processes: Sequence[Process], turn: int) -> dict[str, Any] | None:
    """Wait for a result, and return it; None at the end. Raises the error of a process."""
    while True:
        ended = {rank: code for rank, process in enumerate(processes) if (code := process.poll())}
        if store.check([result_key(turn)]):
            return dict(json.loads(store.get(result_key(turn))))
        if store.check([DONE]):
            return None
        if ended:
            raise _failure(store, _wait_for_ends(processes), len(processes))
        time.sleep(_POLL_S)


def _wait_for_ends(processes: Sequence[Process]) -> dict[int, int]:
    """Return the exit codes other than 0, soon after the first; a process may end slowly.

    The others lose their connection to a process that is killed before its GPU lets it end.
    """
    until = time.monotonic() + _ENDS_S
    while time.monotonic() < until and any(process.poll() is None for process in processes):
        if any((process.poll() or 0) < 0 for process in processes):
            break
        time.sleep(_POLL_S)
    return {rank: code for rank, process in enumerate(processes) if (code := process.poll())}


def _failure(store: TCPStore, ended: Mapping[int, int], world: int) -> Exception:
    """Return the error of a group whose processes ``ended`` with codes other than 0."""
    first: dict[str, Any] = {}
    if store.check([error_key(1)]):
        first = json.loads(store.get(error_key(1)))
    match first.get("kind"):
        case "memory":
            return LessMemory(first["images"])
        case "trial":
            return TrialFailed(first["cause"], first["message"])
        case str(kind) if kind in KINDS:
            return KINDS[kind](first["message"])
    killed = [rank for rank, code in ended.items() if code < 0]
    # The others lose their connection to a process that is killed, and that comes first.
    if first and not killed:
        return RuntimeError(first["message"])
    rank = (killed or [*ended])[0]
    code = ended[rank]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return TrialFailed("rank", f"process {rank} of the {world} of this trial {how}")
