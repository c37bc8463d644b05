"""Failure causes of trials, and the action that each one takes.

A config that cannot run fails the trial, because it would fail again. A failure of the machine or
the store is retried with growing delays. Lost data suspend the study until a user restores them. A
bug stops the worker with a traceback.
"""

import errno
import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..errors import DataError, UsageError, UserError
from ..trials.errors import CheckpointMismatch, TrialFailed, is_out_of_memory
from .history import Attempt

# In heartbeats of the study: with the default, retries last for half an hour.
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
MAX_TRIES = 8

# Errors of a full or broken disk or of a network; any other OSError is a bug.
_OUTAGE_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.ESTALE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
}
_OUTAGE_ERRNOS |= {errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.ENFILE}

# Messages of CUDA and its libraries; the second group reports wrong arguments, not a broken device.
_DEVICE_MESSAGES = ("CUDA error", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
_BUG_MESSAGES = ("device-side assert", "invalid configuration argument")


class DeviceFailed(UserError):
    """The GPU failed and stays unusable in this process, so that the worker must be restarted.

    The exit code differs from Venation's others, so that a fleet treats it as a crash.
    """

    exit_code = 70


class FailureAction(Enum):
    """The action after a failure; the value is the text of `trial why`."""

    FAIL = "the trial failed: it would fail again"
    PRUNE = "the trial was pruned, untrained"
    RETRY = "the trial is tried again later"
    RESTART = "the trial starts from the first epoch"
    SUSPEND = "the study is paused until `venation study resume`"
    STOP_WORKER = "the trial failed, and the worker stopped"


@dataclass(frozen=True)
class FailureCause:
    """A failure cause: its name, the action, and its meaning for a user."""

    name: str
    action: FailureAction
    meaning: str


CAUSES = {
    cause.name: cause
    for cause in (
        FailureCause("oom", FailureAction.FAIL, "a training step did not fit in memory, even with one image at a time"),
        FailureCause("nan", FailureAction.FAIL, "a loss or a metric became NaN"),
        FailureCause("config", FailureAction.FAIL, "no worker can run this config"),
        FailureCause(
            "constraint",
            FailureAction.PRUNE,
            "the network breaks a constraint of the study",
        ),
        FailureCause("data", FailureAction.SUSPEND, "the data or the base's weights are missing or have changed"),
        FailureCause(
            "infrastructure",
            FailureAction.RETRY,
            "the artifact store, the disk or another part of the machine failed",
        ),
        FailureCause("device", FailureAction.RETRY, "the GPU or its driver failed, and the worker ended"),
        FailureCause("rank", FailureAction.RETRY, "one of the processes that trained the network together died"),
        FailureCause("database", FailureAction.RETRY, "the database went away during the trial"),
        FailureCause("checkpoint", FailureAction.RESTART, "the checkpoint of an earlier attempt cannot be read"),
        FailureCause("lost", FailureAction.FAIL, "workers died during this trial: check whether it crashes them"),
        FailureCause("bug", FailureAction.STOP_WORKER, "an error in the program"),
    )
}


def classify_error(error: Exception) -> tuple[FailureCause, str]:
    """Return the failure cause of an exception and the text to record."""
    if isinstance(error, TrialFailed):
        return CAUSES.get(error.cause, FailureCause(error.cause, FailureAction.FAIL, "")), str(error)
    if is_out_of_memory(error):
        return CAUSES["oom"], "out of memory before or after the epochs: lower train.batch_size or data.size"
    for kind, name in _ERROR_TYPES:
        if isinstance(error, kind):
            return CAUSES[name], str(error)
    if is_device_failure(error):
        return CAUSES["device"], f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if isinstance(error, OSError) and (
        isinstance(error, ConnectionError | TimeoutError) or error.errno in _OUTAGE_ERRNOS
    ):
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
    """Return the recorded cause of a bug: the end of its traceback."""
    return f"bug: {''.join(traceback.format_exception(error, limit=-5))}"


def is_device_failure(error: BaseException) -> bool:
    """Return whether a GPU or its driver failed; False for wrong arguments and for full memory."""
    message = str(error)
    if not isinstance(error, RuntimeError) or any(words in message for words in _BUG_MESSAGES):
        return False
    # Commands that only read import this file, and torch takes seconds to import.
    import torch

    return isinstance(error, torch.AcceleratorError) or any(words in message for words in _DEVICE_MESSAGES)


def failed_retries(past: Sequence[Attempt], epochs: int) -> int:
    """Count the last attempts that ended at ``epochs`` epochs with a cause that is retried."""
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
    """Return the delay in heartbeats after ``tries`` failures: exponential back-off with jitter.

    The jitter multiplies by 0.5 to 1.

    Without jitter all trials that one outage stopped would come back at once ("equal jitter" in M.
    Brooker, Exponential Backoff and Jitter, AWS Architecture Blog 2015). ``seed`` is the trial's.
    """
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0**tries)
    return longest * (0.5 + 0.5 * random.Random(f"{seed}/{tries}").random())


# The first match counts: special types come before general ones.
_ERROR_TYPES: tuple[tuple[type[Exception], str], ...] = (
    (CheckpointMismatch, "checkpoint"),
    (UsageError, "config"),
    (DataError, "data"),
    (UserError, "infrastructure"),
)
