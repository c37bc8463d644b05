"""The batch script for Slurm: its options are valid; it hands its trial back and queues again."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_deployment import known_options, resolve

ROOT = Path(__file__).parent.parent
SLURM = ROOT / "deploy" / "slurm" / "worker.sh"


def sbatch_options() -> dict[str, str]:
    """Return the script's sbatch options, which end at the first command."""
    options = {}
    for line in SLURM.read_text().splitlines():
        if match := re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line):
            options[match[1]] = match[2] or ""
        elif line and not line.startswith("#"):
            break
    return options


def test_the_script_is_valid_and_sets_its_slurm_options() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    assert os.access(SLURM, os.X_OK)
    options = sbatch_options()
    assert len(options) == SLURM.read_text().count("#SBATCH ")
    target, _, seconds = options["signal"].partition("@")
    assert target == "B:USR1"
    drain = re.search(r"--drain (\d+)", SLURM.read_text())
    assert drain and int(seconds) > int(drain[1])
    assert "requeue" in options and options["open-mode"] == "append" and "gpu:1" in options["gres"]
    (line,) = re.findall(r"worker \"\$@\" (.+) &$", SLURM.read_text(), re.MULTILINE)
    command, rest = resolve(["worker", "soy", *line.split()])
    assert {word for word in rest if word.startswith("--")} <= known_options(command)


# A fake worker that prints its arguments and signals, and takes a moment to requeue its trial.
WORKER = """#!{python} -uIS
import signal, sys, time
def stop(number, frame):
    print("received", signal.Signals(number).name)
    time.sleep(0.05)
    print("drained")
    sys.exit(0)
signal.signal(signal.SIGUSR1, stop)
signal.signal(signal.SIGTERM, stop)
print("runs", *sys.argv[1:])
code = {code}
if code is None:
    signal.pause()
sys.exit(code)
"""


@pytest.fixture
def start_task(tmp_path: Path) -> Any:
    """Return a function that runs the script as an array task.

    Its worker ends with ``code``, or waits for a signal.
    """
    started: list[subprocess.Popen[str]] = []

    def start(*studies: str, code: int | None = None, storage: str = "postgresql://x") -> subprocess.Popen[str]:
        for name, text in (
            ("venation", WORKER.format(python=sys.executable, code=code)),
            ("scontrol", "#!/bin/bash\necho scontrol $@\n"),
        ):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        slurm = {"SLURM_JOB_ID": "70", "SLURM_ARRAY_JOB_ID": "66", "SLURM_ARRAY_TASK_ID": "3"}
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VENATION_STORAGE": storage, **slurm}
        pipe, out = subprocess.PIPE, subprocess.STDOUT
        task = subprocess.Popen(
            ["bash", str(SLURM), *studies],
            env=environment,
            stdout=pipe,
            stderr=out,
            text=True,
            start_new_session=True,
        )
        started.append(task)
        return task

    yield start
    for task in started:
        with suppress(ProcessLookupError):
            os.killpg(task.pid, signal.SIGKILL)
        task.communicate()


def test_a_task_out_of_time_hands_its_trial_back_and_is_requeued(start_task: Any) -> None:
    task = start_task("soy", "soy-veins")
    assert task.stdout.readline() == "runs worker soy soy-veins --until-idle --drain 90\n"
    task.send_signal(signal.SIGUSR1)
    out, _ = task.communicate(timeout=60)
    assert (task.returncode, out) == (0, "received SIGUSR1\ndrained\nscontrol requeue 66_3\n")


def test_a_cancelled_task_hands_its_trial_back_and_ends(start_task: Any) -> None:
    task = start_task("soy")
    task.stdout.readline()
    task.send_signal(signal.SIGTERM)
    out, _ = task.communicate(timeout=60)
    assert (task.returncode, out) == (0, "received SIGTERM\ndrained\n")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_task_ends_with_its_workers_exit_code(start_task: Any, code: int) -> None:
    task = start_task("soy", code=code)
    out, _ = task.communicate(timeout=60)
    assert (task.returncode, out) == (code, "runs worker soy --until-idle --drain 90\n")


@pytest.mark.parametrize(
    ("studies", "storage", "says"),
    [((), "postgresql://x", "name the studies"), (("soy",), "", "VENATION_STORAGE is not set")],
)
def test_a_task_without_studies_or_storage_fails_in_one_line(
    start_task: Any, studies: tuple[str, ...], storage: str, says: str
) -> None:
    task = start_task(*studies, storage=storage)
    out, _ = task.communicate(timeout=60)
    assert task.returncode == 2 and says in out and out.count("\n") == 1
