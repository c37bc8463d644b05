"""A fleet of real processes: pinned to GPUs, restarted after crashes only, drained together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState
from small_bundle import MISUSE, refuse
from study_helpers import DEADLINE_S, StudyHarness, WorkerProcess, database_down

from venation.errors import DataError, UsageError, UserError
from venation.leases.budget import count_states
from venation.leases.failures import DeviceFailed
from venation.storage.folder import FolderStore
from venation.workers import fleet as fleets
from venation.workers.fleet import run_fleet
from venation.workers.slots import Slot, plan_slots, visible_gpus, with_ports

StartPython = Callable[[str], WorkerProcess]
StartFleet = Callable[[list[str], int], "subprocess.Popen[str]"]


def child(code: str) -> list[str]:
    """Return the command of a process that runs ``code`` and starts at once, without imports."""
    return [sys.executable, "-uIS", "-c", f"import os, signal, sys, time\n{code}"]


@pytest.fixture
def start_fleet() -> Iterator[StartFleet]:
    """Run a fleet of ``number`` processes in another process, and read its output."""
    started: list[subprocess.Popen[str]] = []

    def start(command: list[str], number: int) -> "subprocess.Popen[str]":
        code = "from venation.workers.fleet import run_fleet\nfrom venation.workers.slots import plan_slots\n"
        code += f"run_fleet({command!r}, plan_slots(None, [], each={number}))"
        pipe, out = subprocess.PIPE, subprocess.STDOUT
        started.append(subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=out, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    """Return the next line with ``word``; fail at the end of the output."""
    assert process.stdout is not None
    return next(line for line in process.stdout if word in line)


def test_every_gpu_has_its_own_process_and_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots = plan_slots("all", ["0", "2", "GPU-5f3c"])
    code = "print('sees', os.environ['CUDA_VISIBLE_DEVICES'], *sys.argv[1:])"
    run_fleet(child(code), slots, logs=tmp_path / "logs")
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == [f"gpu {name} | sees {name} --device cuda" for name in ("0", "2", "GPU-5f3c")]
    logs = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert logs == {f"gpu-{name}.log": f"sees {name} --device cuda\n" for name in ("0", "2", "GPU-5f3c")}


def test_a_killed_child_restarts_with_growing_pauses_and_one_with_an_error_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    code = """
starts = open(sys.argv[1], "a")
print("start", file=starts, flush=True)
if sys.argv[2] == "refuse":
    sys.exit(3)
if len(open(sys.argv[1]).readlines()) < 4:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    places = {word: tmp_path / word for word in ("crash", "refuse")}
    slots = [Slot(word, arguments=(str(path), word)) for word, path in places.items()]
    with pytest.raises(
        DataError, match=r"^1 of 2 workers stopped with an error: refuse \(exit code 3\); see their last"
    ):
        run_fleet(child(code), slots, first_pause_s=0.01)
    assert {word: path.read_text().count("start") for word, path in places.items()} == {"crash": 4, "refuse": 1}
    pauses = [message.split(" in ")[1] for message in caplog.messages if "was killed by signal 9" in message]
    assert pauses == ["0.01 s", "0.02 s", "0.04 s"]


# The first process is killed; later ones exit with code 1 until their number reaches the first
# argument.
FAILS_AFTER_RESTART = """
starts = open(sys.argv[2], "a")
print("start", file=starts, flush=True)
number = len(open(sys.argv[2]).readlines())
if number == 1:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(number < int(sys.argv[1]))
"""


def test_a_restarted_child_with_an_error_restarts_with_growing_pauses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_fleet([*child(FAILS_AFTER_RESTART), "4", str(tmp_path / "starts")], plan_slots(None, []), first_pause_s=0.01)
    assert (tmp_path / "starts").read_text().count("start") == 4
    assert [message for message in caplog.messages if "again" in message] == [
        "slot 0: was killed by signal 9; starting it again in 0.01 s",
        "slot 0: came back and was refused (exit code 1); starting it again in 0.02 s",
        "slot 0: came back and was refused (exit code 1); starting it again in 0.04 s",
    ]


def test_after_ten_minutes_it_restarts_only_while_another_child_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "_OUTAGE_S", 0.0)
    starts = tmp_path / "starts"
    starts.touch()
    other = """
if sys.argv[1] == "other":
    while len(open(sys.argv[2]).readlines()) < 3:
        time.sleep(0.01)
    sys.exit(0)
"""
    slots = [Slot(word, arguments=(word, str(starts))) for word in ("999", "other")]
    with pytest.raises(UserError, match=r"^1 of 2 workers stopped with an error: 999 \(exit code 1\)"):
        run_fleet(child(other + FAILS_AFTER_RESTART), slots, first_pause_s=0.01)
    assert starts.read_text().count("start") >= 3


@pytest.mark.parametrize("crash", [134, DeviceFailed.exit_code])
def test_a_foreign_exit_code_is_a_crash(tmp_path: Path, crash: int) -> None:
    code = f"path = sys.argv[1]; known = os.path.exists(path); open(path, 'w').close(); sys.exit(not known and {crash})"
    run_fleet([*child(code), str(tmp_path / "known")], plan_slots(None, []), first_pause_s=0.01)


def test_unwritable_logs_are_refused_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no folder")
    with pytest.raises(UsageError, match=r"^--logs: cannot write .*slot-0.log: (File exists|Not a directory); give a"):
        run_fleet(
            [*child("open(sys.argv[1], 'w')"), str(tmp_path / "ran")], plan_slots(None, []), logs=tmp_path / "logs"
        )
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a disk that is always full")
@pytest.mark.usefixtures("no_hang")
def test_a_full_disk_loses_log_lines_and_not_the_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "slot-0.log").symlink_to("/dev/full")
    # More than the capacity of a pipe.
    run_fleet(child("for line in range(3000):\n  print(line, 'x' * 100)"), plan_slots(None, []), logs=tmp_path)
    assert "slot 0 | 2999 x" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_reaches_every_child_once_and_the_fleet_waits_for_all(number: int, start_fleet: StartFleet) -> None:
    code = """
def stop(number, frame):
    print("told", number)
    time.sleep(0.05)
    print("drained")
    sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, stop)
print("ready")
while True:
    signal.pause()
"""
    fleet = start_fleet(child(code), 3)
    for _ in range(3):
        read_until(fleet, "ready")
    fleet.send_signal(number)
    out, _ = fleet.communicate(timeout=DEADLINE_S)
    assert fleet.returncode == 0, out
    assert all(out.count(f"slot {index} | told {int(number)}\n") == 1 for index in range(3)), out
    assert out.count("drained") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_the_children_of_a_killed_fleet_get_sigterm(start_fleet: StartFleet) -> None:
    code = """
import os, signal
from venation.workers.fleet import stop_with_parent
stop_with_parent(os.getppid())
print("ready", os.getpid())
while True:
    signal.pause()
"""
    fleet = start_fleet([sys.executable, "-uc", code], 1)
    orphan = psutil.Process(int(read_until(fleet, "ready ").split()[-1]))
    fleet.kill()
    fleet.wait()
    deadline = time.monotonic() + DEADLINE_S
    while orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the orphan lives"
        time.sleep(0.02)


def test_the_command_survives_the_loss_of_a_worker(
    harness: StudyHarness, postgres_url: str, start_python: StartPython, tmp_path: Path
) -> None:
    handle = harness.create()
    assert isinstance(harness.artifacts, FolderStore)
    arguments = ["worker", "soy", "--slots", "1", "--until-idle", "--device", "cpu", "--logs", str(tmp_path / "logs")]
    arguments += ["--storage", postgres_url, "--artifacts", str(harness.artifacts.folder)]
    fleet = start_python(f"import sys\nsys.argv = ['venation', *{arguments!r}]\nfrom venation.cli import app\napp()")
    fleet.wait_until(lambda: fleet.log.exists() and fleet.log.read_text().count("started, process") == 1)
    os.kill(int(fleet.log.read_text().split("slot 0: started, process ")[1].split()[0]), signal.SIGKILL)
    assert fleet.wait() == 0, fleet.log.read_text()
    log = fleet.log.read_text()
    assert "slot 0: was killed by signal 9; starting it again in 1 s" in log
    assert count_states(handle) == {TrialState.COMPLETE: 1}
    logs = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    assert logs.count(": COMPLETE ") == 1 and "Traceback" not in log
    assert postgres_url not in log


def test_a_slot_killed_in_an_outage_recovers(
    harness: StudyHarness, postgres_url: str, start_python: StartPython
) -> None:
    handle = harness.create()
    assert isinstance(harness.artifacts, FolderStore)
    arguments = ["worker", "soy", "--slots", "1", "--until-idle", "--device", "cpu"]
    arguments += ["--storage", postgres_url, "--artifacts", str(harness.artifacts.folder)]
    fleet = start_python(f"import sys\nsys.argv = ['venation', *{arguments!r}]\nfrom venation.cli import app\napp()")
    fleet.wait_until(lambda: fleet.log.exists() and fleet.log.read_text().count("started, process") == 1)
    worker = int(fleet.log.read_text().split("slot 0: started, process ")[1].split()[0])
    os.kill(worker, signal.SIGSTOP)  # it must not notice the outage: an error of the first start is final
    with database_down(postgres_url):
        os.kill(worker, signal.SIGKILL)
        fleet.wait_until(lambda: "slot 0: came back and was refused (exit code 1)" in fleet.log.read_text())
    assert fleet.wait() == 0, fleet.log.read_text()
    assert "slot 0 | Error: cannot use the database" in fleet.log.read_text()
    assert count_states(handle) == {TrialState.COMPLETE: 1}


@pytest.mark.parametrize(
    ("gpus", "there", "says"),
    [
        ("7", ["0", "1"], "GPU `7` is not on this machine; give all, or some of 0,1."),
        ("0,0", ["0", "1"], "GPU `0` is named twice; give all, or some of 0,1."),
        ("", ["0"], "GPU `` is not on this machine; give all, or some of 0."),
        ("all", [], "CUDA shows no GPU on this machine; give --slots N for workers on the CPU."),
    ],
)
def test_an_unavailable_gpu_is_refused_with_the_available_ones(gpus: str, there: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_slots(gpus, there)
    assert str(caught.value) == f"--gpus: {says}"


def test_several_workers_share_a_gpu_and_each_has_a_port() -> None:
    slots = with_ports(plan_slots("1", ["0", "1"], each=2), 9200)
    assert [slot.name for slot in slots] == ["gpu 1.0", "gpu 1.1"]
    assert {slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots} == {"1"}
    assert [slot.arguments[-2:] for slot in slots] == [("--metrics-port", "9200"), ("--metrics-port", "9201")]


def test_workers_on_one_cpu_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert {slot.environment["OMP_NUM_THREADS"] for slot in plan_slots(None, [], each=3)} == {"2"}
    assert {slot.environment["OMP_NUM_THREADS"] for slot in plan_slots(None, [], each=2, together=2)} == {"2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert {slot.environment["OMP_NUM_THREADS"] for slot in plan_slots(None, [], each=3)} == {"5"}


def test_gpus_hidden_by_a_scheduler_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert visible_gpus() == ["3", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_gpus() == ["0", "1"]


def test_an_error_of_every_child_is_the_fleet_s() -> None:
    with pytest.raises(UserError, match=r"2 of 2 workers stopped .* slot 0 \(exit code 1\), slot 1 \(exit code 1\)"):
        run_fleet(child("sys.exit(1)"), plan_slots(None, [], each=2))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--gpus", "all"), "--gpus: CUDA shows no GPU on this machine; give --slots N for workers on the CPU."),
        (("--gpus", "7"), "--gpus: CUDA shows no GPU on this machine; give --slots N for workers on the CPU."),
        (("--gpus", "0", "--device", "cpu"), "--gpus chooses the device of each worker; leave --device cpu out."),
        (("--logs", "logs"), "--logs is for the processes of --gpus or --slots; this one logs to standard error."),
    ],
)
def test_conflicting_options_are_refused_before_the_start(
    options: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    refuse(MISUSE, "worker", "soy", *options, says=(says,))
