"""`venation chaos` with real workers for a minute."""

import json
import subprocess
import sys

import pytest

from venation.chaos.faults import FAULTS


@pytest.mark.timeout(600)
def test_a_minute_of_faults_loses_nothing() -> None:
    command = [
        sys.executable,
        "-m",
        "venation.cli",
        "chaos",
        "--minutes",
        "1",
        "--workers",
        "3",
        "--seed",
        "1",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=590)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout
    report = json.loads(done.stdout)
    kinds = {name.removeprefix("fault ") for name in report if name.startswith("fault ")}
    assert report["violations"] == [] and report["studies"] >= 1 and kinds <= set(FAULTS)
    # No machine lacks these; how many there are depends on how fast this one is.
    assert len(kinds) >= 5 and report["faults"] >= 5
    assert report["workers started"] >= 3
    # Seed 1 kills workers and silences others for longer than the grace: their leases are lost.
    assert report["lost leases"] >= 1 and report["lost leases"] >= report["lost by living workers"]
    assert "stay in" not in done.stderr
