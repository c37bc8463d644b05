"""Submit workers as jobs of Slurm through submitit, which queues a job again before its time ends.

submitit writes the job as a pickle into its folder, and reads it on the node: this one file is the
exception from the rule that nothing is pickled. It holds the words of a command, and the folder
belongs to the user alone.
"""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError, UserError
from .slurm_options import SlurmOptions

# Seconds between the signal and the time limit, beyond those of the drain: a stop of the processes.
_MARGIN_S = 60.0
# submitit counts a job's time limits; a study may need any number of them.
_ALWAYS = 1_000_000


@dataclass(frozen=True)
class SubmittedJob:
    """A submitted job: its number and the file of its log."""

    id: str
    log: Path


class WorkerJob:
    """The work of one job: a command in a process of its own, stopped before the job is requeued.

    submitit calls an instance on the node, and ``checkpoint`` from its handler of the signal that
    Slurm sends before the time limit or a preemption.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = [*command]
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run the command to its end; exit with its code if that is not 0."""
        # A cancelled job gets SIGTERM.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        command = [*self._command, "--parent", str(os.getpid())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_ignore_requeue_signal
        )
        self._wait()
        if code := self._process.wait():
            sys.exit(code if code > 0 else 128 - code)

    def checkpoint(self) -> Any:
        """Stop the command, wait until it has handed its trials back; return the next job."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        self._wait()
        return DelayedSubmission(WorkerJob(self._command))

    def _stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def _wait(self) -> None:
        # Without the lock of Popen.wait, which the interrupted main thread may hold.
        if self._process is not None:
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)


def _ignore_requeue_signal() -> None:
    """Let the child and its children ignore the signal: Slurm sends it to every process of a job.

    This process stops them by another one, so that they hand their trials back.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def submit_workers(arguments: Sequence[str], options: SlurmOptions, *, folder: Path, drain: float) -> list[Any]:
    """Submit ``venation worker run ARGUMENTS`` as jobs, and return submitit's jobs.

    Scripts and logs are written to ``folder``, which every node must see. Slurm sends its signal
    ``drain`` seconds and a minute before the time limit. Raises UserError where submitit or Slurm
    is missing, or Slurm refuses the job, and UsageError for a folder that cannot be written.
    """
    command = [sys.executable, "-m", "venation.cli", "worker", "run", *arguments]
    executor = _executor(options, folder, signal_s=drain + _MARGIN_S)
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        # submitit prints what sbatch said: it is in the error.
        with redirect_stderr(io.StringIO()), executor.batch():
            jobs = [executor.submit(WorkerJob(command)) for _ in range(options.jobs)]
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise UserError(f"--slurm: sbatch refused the job: {reason[0]}; see `sinfo` for what there is.") from None
    return jobs


def describe_jobs(jobs: Sequence[Any]) -> list[SubmittedJob]:
    """Return number and log of submitit's jobs."""
    return [SubmittedJob(str(job.job_id), Path(job.paths.stderr)) for job in jobs]


def _executor(options: SlurmOptions, folder: Path, *, signal_s: float) -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError("--slurm needs submitit; install it with `pip install 'venation[slurm]'`") from None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK)
    except OSError:
        own = False
    if not own:
        raise UsageError(f"--logs: {folder} is no folder of yours; give one on a file system that all nodes see.")
    minutes, delay = round(options.hours * 60), round(signal_s)
    if options.cluster == "local":
        local = submitit.LocalExecutor(folder, max_num_timeout=_ALWAYS)
        local.update_parameters(timeout_min=minutes, signal_delay_s=delay, gpus_per_node=options.gpus)
        return local
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=_ALWAYS)
    except RuntimeError:
        raise UserError(
            "--slurm: no `srun` in the PATH; run this on a login node, or add cluster=local to try it on this machine."
        ) from None
    executor.update_parameters(job_name="venation", time=minutes, signal_delay_s=delay, **_sbatch(options))
    return executor


def _sbatch(options: SlurmOptions) -> dict[str, Any]:
    """Return the resources by the names of submitit's Slurm executor."""
    wanted = {
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "constraint": options.constraint,
        "gpus_per_node": options.gpus or None,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    # Beside those that have a name in submitit: without it, some clusters never queue a job again.
    resources = {"cpus_per_task": options.job_cpus, "mem": f"{options.job_memory}GB", "nodes": 1}
    return given | resources | {"additional_parameters": {"requeue": True}}
