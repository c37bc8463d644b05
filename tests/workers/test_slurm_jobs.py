"""Jobs of Slurm: the batch script, and a job of submitit's local executor that is requeued."""

import os
import re
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.trial import TrialState
from small_bundle import EXPECTED_FAILURE, MISUSE, refuse, succeed
from study_helpers import Pause, StudyHarness

from venation.errors import UserError
from venation.leases.budget import count_states
from venation.leases.history import attempts
from venation.workers.slurm_jobs import submit_workers
from venation.workers.slurm_options import SlurmOptions, read_slurm

_SBATCH = """#!/bin/bash
cp "$1" {folder}/script.sh
echo Submitted batch job 4711
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an `sbatch` that keeps the script, and an `srun`, into the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", _SBATCH.format(folder=tmp_path)), ("srun", "#!/bin/bash\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path


def sbatch_options(script: str) -> dict[str, str]:
    return {match[1]: match[2] or "" for match in re.finditer(r"#SBATCH --([a-z-]+)(?:=(.*))?", script)}


def test_the_script_asks_slurm_for_the_resources_and_a_signal_before_the_end(cluster: Path) -> None:
    options = read_slurm("partition=gpu,account=lab,gpus=4,hours=12,jobs=3")
    jobs = submit_workers(["soy"], options, folder=cluster / "jobs", drain=90.0)
    assert [job.job_id for job in jobs] == ["4711_0", "4711_1", "4711_2"]
    asked = sbatch_options((cluster / "script.sh").read_text())
    expected = {
        "partition": "gpu",
        "account": "lab",
        "gpus-per-node": "4",
        "cpus-per-task": "32",
        "mem": "128GB",
        "nodes": "1",
        "time": "720",
        "signal": "USR2@150",
        "requeue": "",
        "open-mode": "append",
        "array": "0-2%3",
        "job-name": "venation",
    }
    assert expected.items() <= asked.items()
    assert stat.S_IMODE((cluster / "jobs").stat().st_mode) == 0o700


def test_a_refusal_of_sbatch_is_one_line(cluster: Path) -> None:
    refusing = "#!/bin/bash\necho 'sbatch: error: invalid partition specified: gpuu' >&2\nexit 1\n"
    (cluster / "bin" / "sbatch").write_text(refusing)
    with pytest.raises(UserError, match="^--slurm: sbatch refused the job: .*invalid partition specified: gpuu; see"):
        submit_workers(["soy"], read_slurm("partition=gpuu"), folder=cluster / "jobs", drain=90.0)


def test_misuse_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(MISUSE, "worker", "soy", "--slurm", "gpu=4", says=("--slurm: no key `gpu`", "partition"))
    refuse(MISUSE, "worker", "soy", "--slurm", "gpus=4", says=("need one PostgreSQL server", "VENATION_STORAGE"))
    refuse(MISUSE, "worker", "soy", "--slurm", "gpus=4", "--gpus", "all", says=("no --gpus or --device",))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no `srun` in the PATH; run this on a login node, or add cluster=local"):
        submit_workers(["soy"], SlurmOptions(), folder=tmp_path / "jobs", drain=90.0)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=re.escape("pip install 'venation[slurm]'")):
        submit_workers(["soy"], SlurmOptions(), folder=tmp_path / "jobs", drain=90.0)
    (tmp_path / "file").touch()
    monkeypatch.undo()
    with pytest.raises(UserError, match="--logs: .* is no folder of yours"):
        submit_workers(["soy"], SlurmOptions(), folder=tmp_path / "file", drain=90.0)


@pytest.mark.slow
def test_a_job_out_of_time_hands_its_trial_back_and_its_successor_ends_the_study(
    harness: StudyHarness, postgres_url: str, pause_at: Callable[[int], Pause], tmp_path: Path, monkeypatch: Any
) -> None:
    """With submitit's local executor, whose signal before the time limit is Slurm's."""
    handle = harness.create(settings={"train.epochs": 2})
    monkeypatch.setenv("VENATION_STORAGE", postgres_url)
    monkeypatch.setenv("VENATION_ARTIFACTS", str(harness.artifacts.folder))
    pause = pause_at(0)
    options = read_slurm("cluster=local,gpus=0,hours=1")
    words = ["soy", "--slots", "1", "--device", "cpu", "--until-idle", "--drain", "60"]
    (job,) = submit_workers(words, options, folder=tmp_path / "jobs", drain=60.0)
    log = Path(job.paths.stderr)

    def wait_for(seen: Callable[[], bool]) -> None:
        while not seen():
            assert job._process.poll() is None, log.read_text()

    wait_for(pause.is_reached)
    (task,) = psutil.Process(int(job.job_id)).children()
    # Slurm sends it to every process of a job.
    for process in (*task.children(recursive=True), task):
        process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "stopping after the running epoch" in log.read_text())
    pause.release()
    job.wait()
    assert count_states(handle) == {TrialState.COMPLETE: 1}, log.read_text()
    first = handle.study.trials[0]
    assert len(attempts(first)) == 2 and sorted(first.intermediate_values) == [0, 1]
    assert "Caught signal SIGUSR2" in Path(job.paths.stdout).read_text()


@pytest.mark.slow
def test_the_command_submits_and_names_the_log(harness: StudyHarness, postgres_url: str, cluster: Path) -> None:
    harness.create()
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder, "--logs", cluster / "jobs")
    printed = succeed("worker", "soy", "--slurm", "partition=gpu", *places)
    assert printed == f"job 4711: {cluster / 'jobs' / '4711_0_log.err'}\n"
    refuse(EXPECTED_FAILURE, "worker", "oak", "--slurm", "gpus=1", *places, says=("study `oak` does not exist",))
