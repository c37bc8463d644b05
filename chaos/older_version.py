"""Workers of an older version of Venation on the studies of this one.

A process that has loaded the older version forks a worker whenever one is wanted, so that a fault
does not pay for the imports.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from ..errors import UsageError, UserError

REFUSED, WORKED, STOPPED = "refused", "worked", "stopped"
_END_S = 30.0
# Runs in the older version. Each line of its input has a command and a log; it answers with the
# process id of the worker, which leaves its exit code beside the log.
_PROGRAM = """
import json, os, signal, sys, traceback
import optuna, psycopg2, sqlalchemy, torch
from venation.cli import app
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    command, log = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    code = 0
    try:
        app(command)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log + ".part", "w") as file:
        file.write(str(code or 0))
    os.rename(log + ".part", log + ".code")
    os._exit(0)
"""


class OlderVersion:
    """Starts workers of the version in a folder; ``outcomes`` counts how they ended.

    They refuse the study, work on it, or are stopped while they load.
    ``crashes`` describes each worker that neither refused in one line, nor worked until its end.
    """

    def __init__(self, folder: Path, *, url: str, store: Path, logs: Path) -> None:
        self.outcomes: Counter[str] = Counter()
        self.crashes: list[str] = []
        self._places = ["--storage", url, "--artifacts", str(store)]
        self._logs, self._number = logs, 0
        environment = os.environ | {"PYTHONPATH": str(folder)}
        command = [sys.executable, "-c", _PROGRAM]
        with (logs / "older.log").open("w") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd="/"
            )
        if self._read_line() != "ready":
            raise UserError(f"the version in {folder} does not start; read {logs / 'older.log'}")

    def start_worker(self, study: str) -> "OlderWorker":
        """Start `venation worker STUDY --until-idle` of the older version."""
        self._number += 1
        log = self._logs / f"older-{self._number}.log"
        command = ["worker", study, "--until-idle", "--device", "cpu", *self._places]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, str(log)]).encode() + b"\n")
        self._process.stdin.flush()
        return OlderWorker(self, int(self._read_line()), log)

    def close(self) -> None:
        """End the process; its workers were finished before."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()


class OlderWorker:
    """One worker of an older version."""

    def __init__(self, version: OlderVersion, pid: int, log: Path) -> None:
        self.pid = pid
        self._version, self._log, self._code = version, log, Path(f"{log}.code")

    def has_ended(self) -> bool:
        """Return whether the worker has ended by itself."""
        return self._code.exists()

    def finish(self) -> None:
        """Stop the worker if it runs, wait for its end, and note how it ended."""
        was_running = not self.has_ended()
        deadline = time.monotonic() + _END_S
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            while time.monotonic() < deadline:
                os.kill(self.pid, 0)
                time.sleep(0.05)
            os.kill(self.pid, signal.SIGKILL)
        outcome = self._outcome(was_running=was_running)
        if outcome is None:
            tail = " ".join(self._log.read_text(errors="replace")[-600:].split())
            self._version.crashes.append(f"a worker of the older version neither refused nor worked: {tail}")
        else:
            self._version.outcomes[outcome] += 1

    def _outcome(self, *, was_running: bool) -> str | None:
        if not self.has_ended():
            return STOPPED if was_running else None
        code = self._code.read_text()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        if code == "0":
            return WORKED if any(" trial " in line for line in lines) else STOPPED
        refused = code in ("1", "2", "3") and lines and lines[-1].startswith("Error: ")
        return REFUSED if refused and not any(line.startswith("Traceback") for line in lines) else None


def check_older(folder: Path) -> None:
    """Raise UsageError unless the folder has a package ``venation``."""
    if not (folder / "venation" / "cli.py").is_file():
        raise UsageError(
            f"{folder} has no package venation; give the folder of `git worktree add FOLDER/venation VERSION`,"
            " or of `pip install --no-deps --target FOLDER`."
        )
