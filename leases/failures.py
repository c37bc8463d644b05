"""Why trials end without a result, and what follows from it: one table.

What is the config's fault fails the trial, because it would fail again; what is the machine's or the store's is tried
again, later and later; what only a person can mend pauses the study; and a bug stops the worker, loudly.
"""

import errno
import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch

from ..errors import DataError, UsageError, UserError
from ..trials.checkpoint import CheckpointMismatch
from ..trials.errors import TrialFailed, is_out_of_memory
from .history import Attempt

# In heartbeats of the study, of ten seconds mostly: half an hour in all, after which no store comes back by itself.
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
MAX_TRIES = 8

# What a full or broken disk, or a network, says; any other OSError is a bug like any other exception.
_OUTSIDE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENETDOWN, errno.ENETUNREACH}
_OUTSIDE |= {errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.ENFILE}

# How CUDA and its libraries begin what they report, and which reports are of a program that asked for nonsense.
_DEVICES_SAY = ("CUDA error", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
_BUGS_SAY = ("device-side assert", "invalid configuration argument")


class DeviceFailed(UserError):
    """The GPU gave out under this process, in which it stays unusable: end it, and start another.

    The exit code is none of Venation's others, so that a fleet takes it for the crash that it is.
    """

    exit_code = 70


class FailureAction(Enum):
    """What follows, in the words of `trial why`."""

    FAIL = "the trial failed: it would end there again"
    PRUNE = "the trial was pruned, untrained"
    RETRY = "the trial is tried again later"
    RESTART = "the trial starts anew"
    SUSPEND = "the study is paused until `venation study resume`"
    STOP_WORKER = "the trial failed, and the worker stopped"


@dataclass(frozen=True)
class FailureCause:
    """Why a trial ends: its name, what follows, and what it means."""

    name: str
    action: FailureAction
    means: str


CAUSES = {
    cause.name: cause
    for cause in (
        FailureCause("oom", FailureAction.FAIL, "the memory did not hold a step, not even with one image at a time"),
        FailureCause("nan", FailureAction.FAIL, "a loss or a metric was no number any more"),
        FailureCause("config", FailureAction.FAIL, "this config cannot be run, on no worker"),
        FailureCause(
            "constraint",
            FailureAction.PRUNE,
            "the network breaks a constraint of the study, which was known before it was built",
        ),
        FailureCause(
            "data", FailureAction.SUSPEND, "the data or the base's weights are gone, or are not the study's any more"
        ),
        FailureCause(
            "infrastructure",
            FailureAction.RETRY,
            "the artifact store, the disk or another part of the machine gave out",
        ),
        FailureCause("device", FailureAction.RETRY, "the GPU or its driver gave out, and the worker ended with it"),
        FailureCause("database", FailureAction.RETRY, "the database went away in the middle of it"),
        FailureCause("checkpoint", FailureAction.RESTART, "what an earlier attempt had reached cannot be read"),
        FailureCause("lost", FailureAction.FAIL, "worker after worker died with it: see whether it kills them"),
        FailureCause("bug", FailureAction.STOP_WORKER, "an error in the program"),
    )
}


def classify_error(error: Exception) -> tuple[FailureCause, str]:
    """Which cause an exception of a trial is, and what to record of it."""
    if isinstance(error, TrialFailed):
        return CAUSES.get(error.cause, FailureCause(error.cause, FailureAction.FAIL, "")), str(error)
    if is_out_of_memory(error):
        return CAUSES["oom"], "out of memory before or after the epochs: lower train.batch_size or data.size"
    for kind, name in _KINDS:
        if isinstance(error, kind):
            return CAUSES[name], str(error)
    if is_device_failure(error):
        return CAUSES["device"], f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if isinstance(error, OSError) and (isinstance(error, ConnectionError | TimeoutError) or error.errno in _OUTSIDE):
        return CAUSES["infrastructure"], f"{type(error).__name__}: {error}"
    return CAUSES["bug"], f"{type(error).__name__}: {error}"


def cause_line(cause: str) -> str:
    """Return a recorded cause as one line: of a bug's traceback, the last line."""
    lines = cause.strip().splitlines() or [""]
    return f"bug: {lines[-1]}" if lines[0].startswith("bug: Traceback") else lines[0]


def failure_line(study: str, number: int, cause: str) -> str:
    """Return the log line of a trial that failed: its cause, and the command that explains it."""
    command = f"venation trial why {study} {number}"
    return f"study {study} trial {number}: FAIL ({cause_line(cause)}); see `{command}`"


def bug_report(error: BaseException) -> str:
    """The cause of a trial that an error of ours ended, with the error's last lines."""
    return f"bug: {''.join(traceback.format_exception(error, limit=-5))}"


def is_device_failure(error: BaseException) -> bool:
    """Whether a GPU or its driver failed, rather than what it was asked to do. Memory that is full is not meant."""
    said = str(error)
    if not isinstance(error, RuntimeError) or any(words in said for words in _BUGS_SAY):
        return False
    return isinstance(error, torch.AcceleratorError) or any(words in said for words in _DEVICES_SAY)


def failed_retries(past: Sequence[Attempt], epochs: int) -> int:
    """How many of the last attempts at a trial came no further than ``epochs`` epochs for reasons outside of it."""
    count = 0
    for attempt in reversed(past):
        if (
            attempt["epochs"] != epochs
            or CAUSES.get(attempt.get("end", ""), CAUSES["bug"]).action != FailureAction.RETRY
        ):
            break
        count += 1
    return count


def retry_delay(tries: int, seed: int) -> float:
    """Heartbeats before the try after ``tries`` failed ones: doubled each time, and half of it by chance.

    Full delays at once would bring all trials that one outage stopped back in one moment ("equal jitter" in
    M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog 2015). ``seed`` is the trial's.
    """
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0**tries)
    return longest * (0.5 + 0.5 * random.Random(f"{seed}/{tries}").random())


# The first that fits counts: the special ones come before the general.
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (CheckpointMismatch, "checkpoint"),
    (UsageError, "config"),
    (DataError, "data"),
    (UserError, "infrastructure"),
)
