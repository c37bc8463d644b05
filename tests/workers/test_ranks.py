"""One network trained by two processes on the CPU: the losses of one, and a process is lost."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from optuna.trial import TrialState
from small_bundle import MISUSE, refuse
from study_helpers import Pause, StudyHarness, WorkerProcess

from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import load_manifest
from venation.errors import DataError, UsageError
from venation.leases.budget import count_states
from venation.leases.history import attempts
from venation.models.build import build_network
from venation.storage.attributes import PROVENANCE
from venation.trials.errors import CheckpointMismatch, LessMemory, TrialFailed
from venation.trials.kinds import Task
from venation.trials.train import EpochResult, fit
from venation.trials.trial_config import TrialConfig
from venation.workers import ranks
from venation.workers.rank import ERRORS, describe, error_key
from venation.workers.ranks import fit_on_ranks

CPU = torch.device("cpu")
Fitted = list[EpochResult]
# BatchNorm normalises each process's share alone, without SyncBatchNorm.
EXACT, WITH_BATCH_NORM = 1e-5, 0.1


def trial_config(encoder: str, **train: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "encoder": {"name": encoder, "weights": "none"},
            "data": {"size": 32, "colour": 0.2},
            "train": {"epochs": 2, "batch_size": 7, "lr": 0.02, "mask_weight": 0.1, **train},
        }
    )


@pytest.fixture
def fit_both(leaves: Path, tmp_path: Path) -> Callable[..., tuple[Fitted, Fitted]]:
    """Return a function that fits a config with one process and with two."""
    manifest = load_manifest(leaves)
    chosen = {True: manifest.samples[::2], False: manifest.samples[1::6]}

    def run(config: TrialConfig, task: Task = "classify") -> tuple[Fitted, Fitted]:
        return one(config, task, 1), one(config, task, 2)

    def one(config: TrialConfig, task: Task, processes: int) -> Fitted:
        loaders = [
            make_loader(
                LeafDataset(samples, manifest.classes, config.data, train=train),
                batch_size=config.train.batch_size,
                train=train,
                seed=config.train.seed,
            )
            for train, samples in chosen.items()
        ]
        torch.manual_seed(0)
        network = build_network(config.network(len(manifest.classes)))
        options: dict[str, Any] = {"task": task, "device": CPU, "monitor": "logloss"}
        options["checkpoint"] = tmp_path / f"{processes}.safetensors"
        if processes == 1:
            return list(fit(network, *loaders, config.train, **options))
        return list(fit_on_ranks(network, *loaders, config, processes=processes, **options))

    return run


def largest_difference(one: Sequence[EpochResult], two: Sequence[EpochResult]) -> float:
    """Return the largest relative difference between losses and metrics of the same epochs."""
    assert [result.epoch for result in one] == [result.epoch for result in two]
    pairs = [
        (numbers[name], others[name])
        for left, right in zip(one, two, strict=True)
        for numbers, others in ((left.losses, right.losses), (left.metrics, right.metrics))
        for name in numbers
        if name in ("total", "ce", "gate", "logloss")
    ]
    assert len(pairs) >= 8 and all(map(math.isfinite, (value for pair in pairs for value in pair)))
    return max(abs(left - right) / abs(left) for left, right in pairs)


@pytest.mark.parametrize(
    ("encoder", "train", "tolerance"),
    [
        # Batches of 7 and 4, in shares of 4 and 3 and in passes of at most 2 images.
        pytest.param("test_convnext", {"micro_batch": 2, "accumulate": 2}, EXACT, id="passes"),
        pytest.param("test_resnet", {"batch_size": 18, "lr": 0.001}, WITH_BATCH_NORM, id="batch norm"),
    ],
)
@pytest.mark.slow
def test_two_processes_give_the_losses_and_metrics_of_one(
    fit_both: Callable[..., tuple[Fitted, Fitted]], encoder: str, train: dict[str, Any], tolerance: float
) -> None:
    one, two = fit_both(trial_config(encoder, **train))
    assert largest_difference(one, two) < tolerance


def test_a_batch_smaller_than_the_processes_is_refused(fit_both: Callable[..., tuple[Fitted, Fitted]]) -> None:
    with pytest.raises(UsageError, match="train.batch_size=1 is less than the 2 processes of a trial; raise it to 2"):
        fit_both(trial_config("test_convnext", batch_size=1))


@pytest.mark.parametrize(
    ("errors", "codes", "expected"),
    [
        ([TrialFailed("nan", "training ce became nan")], {0: 1}, TrialFailed("nan", "training ce became nan")),
        ([LessMemory(3)], {1: 1, 0: 1}, LessMemory(3)),
        ([UsageError("raise train.batch_size")], {1: 1}, UsageError("raise train.batch_size")),
        ([DataError("leaf.png is damaged")], {1: 1}, DataError("leaf.png is damaged")),
        ([CheckpointMismatch("of another config")], {0: 1}, CheckpointMismatch("of another config")),
        ([ValueError("wrong")], {0: 1}, RuntimeError("ValueError: wrong")),
        # The other process loses its connection, or is aborted in its turn.
        (
            [RuntimeError("Connection closed by peer")],
            {0: 1, 1: -9},
            TrialFailed("rank", "process 1 of the 2 of this trial was killed by signal 9"),
        ),
        ([DataError("leaf.png is damaged")], {0: -6, 1: 1}, DataError("leaf.png is damaged")),
        ([], {1: 3}, TrialFailed("rank", "process 1 of the 2 of this trial ended with exit code 3")),
    ],
)
def test_the_error_of_a_process_is_that_of_the_fit(
    errors: list[Exception], codes: dict[int, int], expected: Exception
) -> None:
    store = ranks._open_store()
    for error in errors:
        store.set(error_key(store.add(ERRORS, 1)), json.dumps(describe(error)))
    found = ranks._failure(store, codes, 2)
    assert type(found) is type(expected) and str(found) == str(expected)
    assert vars(found) == vars(expected)


def test_the_devices_of_a_group_are_checked() -> None:
    refuse(
        MISUSE, "worker", "soy", "--gpus-per-trial", "4", says=("this machine shows 0 GPUs", "--processes-per-trial")
    )
    both = ("--gpus-per-trial", "2", "--processes-per-trial", "2")
    refuse(MISUSE, "worker", "soy", *both, says=("exclude each other",))
    refuse(MISUSE, "study", "plan", "soy", *both, says=("exclude each other",))
    wrong = ("--device", "cuda", "--processes-per-trial", "2")
    refuse(MISUSE, "worker", "soy", *wrong, says=("--processes-per-trial 2 chooses the devices",))
    gpus = ("--gpus", "all", "--processes-per-trial", "2")
    refuse(MISUSE, "worker", "soy", *gpus, says=("is for the CPU: leave --gpus all out, or give --gpus-per-trial N",))
    refuse(MISUSE, "worker", "soy", "--slots", "2", *wrong, says=("--processes-per-trial 2 chooses the devices",))
    job = ("--slurm", "cluster=local", "--processes-per-trial", "2")
    refuse(MISUSE, "worker", "soy", *job, says=("is for the CPU: give gpus=0, or --gpus-per-trial N",))
    odd = ("--slurm", "gpus=3,cluster=local", "--gpus-per-trial", "2")
    refuse(MISUSE, "worker", "soy", *odd, says=("gpus=3 are no multiple of --gpus-per-trial 2",))


def test_a_process_that_is_killed_but_ends_slowly_is_the_reason() -> None:
    # The first one loses its connection to the second one, which is killed and ends later.
    codes = ("import sys; sys.exit(1)", "import os, sys; sys.stdin.read(); os.kill(os.getpid(), 9)")
    lost, killed = (subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for code in codes)
    assert lost.wait() == 1
    threading.Timer(0.1, lambda: killed.stdin and killed.stdin.close()).start()
    assert ranks._wait_for_ends([lost, killed]) == {0: 1, 1: -9}
    lost.communicate()


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(
    harness: StudyHarness, start_worker: Callable[..., WorkerProcess], pause_at: Callable[[int], Pause]
) -> None:
    handle = harness.create(settings={"train.epochs": 2}, heartbeat=0.5)
    pause = pause_at(0)
    worker = start_worker("soy", "--until-idle", "--processes-per-trial", "2")
    pause.wait(worker)
    assert worker.process.pid is not None
    # Both processes wait until the worker has reported the first epoch.
    ranks = [
        child for child in psutil.Process(worker.process.pid).children() if "venation.workers.rank" in child.cmdline()
    ]
    assert len(ranks) == 2
    for rank in ranks:  # as a service manager does, to all processes
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            rank.send_signal(number)
    os.kill(ranks[1].pid, signal.SIGKILL)
    pause.release()
    assert worker.wait() == 0, worker.log.read_text()
    (trial,) = handle.study.trials
    assert count_states(handle) == {TrialState.COMPLETE: 1}
    assert sorted(trial.intermediate_values) == [0, 1]
    assert PROVENANCE.need(trial)["processes"] == 2
    first, second = attempts(trial)
    assert first["end"] == "rank" and first["epochs"] == 1 and second["epochs"] == 2
    log = worker.log.read_text()
    assert "process 1 of the 2 of this trial was killed by signal 9" in log and "resumed" in log
