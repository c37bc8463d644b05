"""One process of a trial that several train together: `python -m venation.workers.rank FOLDER ID`.

ID is the worker's process. This one knows no database. Rank 0 tells the worker each epoch's result
through the store that also joins the processes, and all wait there until the worker has reported
it. The variables are those of torchrun: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
"""

import json
import os
import signal
import sys
import traceback
import warnings
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from ..errors import DataError, UsageError, UserError
from ..trials.distributed import Ranks
from ..trials.errors import CheckpointMismatch, LessMemory, TrialFailed
from ..trials.train import fit
from .fleet import stop_with_parent
from .rank_job import RankJob, write_best
from .signals import STOP_SIGNALS

# The worker ends a group that stands still because a process died: no wait has to end by itself.
FOREVER = timedelta(days=365)
KINDS: dict[str, type[UserError]] = {
    kind.__name__: kind for kind in (CheckpointMismatch, UsageError, DataError, UserError)
}


def result_key(turn: int) -> str:
    """Return the key of the group's result number ``turn``, from 0."""
    return f"result {turn}"


def go_key(turn: int) -> str:
    """Return the key that says that the worker has reported a result."""
    return f"go {turn}"


DONE, ERRORS = "done", "errors"


def error_key(number: int) -> str:
    """Return the key of an error, counted from 1."""
    return f"error {number}"


def describe(error: BaseException) -> dict[str, object]:
    """Return an error of a fit as plain data."""
    if isinstance(error, LessMemory):
        return {"kind": "memory", "images": error.images}
    if isinstance(error, TrialFailed):
        return {"kind": "trial", "cause": error.cause, "message": str(error)}
    for name, kind in KINDS.items():
        if isinstance(error, kind):
            return {"kind": name, "message": str(error)}
    return {"kind": "bug", "message": f"{type(error).__name__}: {error}"}


def main(folder: Path, worker: int) -> None:
    """Train with the other processes of the job in ``folder``."""
    # Those of a terminal, a service manager or Slurm reach every process: they are for the worker,
    # which lets the epoch end and then kills this one.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    stop_with_parent(worker, signal.SIGKILL)
    # Weights of convolutions in channels_last; a copy of their gradients is cheap.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=FOREVER)
    try:
        _train(RankJob.read(folder), folder, store)
    except Exception as error:
        record = describe(error)
        if record["kind"] == "bug":
            traceback.print_exc()
        store.set(error_key(store.add(ERRORS, 1)), json.dumps(record))
        # Not by sys.exit: the end of the interpreter may wait for a process that is gone.
        sys.stderr.flush()
        os._exit(1)


def _train(job: RankJob, folder: Path, store: TCPStore) -> None:
    rank = int(os.environ["RANK"])
    device = torch.device(job.device, rank) if job.device == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    group = PrefixStore("group", store)
    distributed.init_process_group(backend, store=group, rank=rank, world_size=job.world, timeout=FOREVER)
    network = job.network(folder)
    train, val = job.loaders
    results = fit(
        network,
        train.make(),
        val.make(),
        job.config.train,
        task=job.task,
        device=device,
        monitor=job.monitor,
        checkpoint=job.checkpoint,
        ranks=Ranks(rank, job.world, job.limit),
    )
    for turn, result in enumerate(results):
        if rank == 0:
            store.set(result_key(turn), json.dumps(asdict(result)))
        store.wait([go_key(turn)], FOREVER)
    if rank == 0:
        write_best(network, job.task, folder)
        store.set(DONE, "1")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
