"""`venation chaos` with real workers for some seconds; the long form is a command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_bundle import MISUSE, refuse

# Those that need nothing of the machine; tests/chaos/test_standby.py has the failover.
KINDS = ("pause", "slow_store", "delete_study", "kill", "restart_server")
RUN = """
import json, sys
from venation.chaos.run import ChaosRequest, run_chaos
request = ChaosRequest(minutes=0.1, workers=2, seed=1, kinds=tuple(sys.argv[1:]), every=0.7, trials=5)
print(json.dumps(run_chaos(request).row()))
"""


@pytest.mark.timeout(600)
def test_seconds_of_faults_lose_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", RUN, *KINDS], capture_output=True, text=True, cwd="/", timeout=590)
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout)
    assert report["violations"] == [] and report["studies"] >= 1 and report["trials"] == 5 * report["studies"]
    assert {name.removeprefix("fault ") for name in report if name.startswith("fault ")} == set(KINDS)
    assert report["workers started"] >= 2 and report["lost leases"] >= report["lost by living workers"]
    assert "stay in" not in done.stderr


def test_unknown_faults_and_versions_are_one_line(tmp_path: Path) -> None:
    refuse(MISUSE, "chaos", "--fault", "flood", says=("there is no fault `flood`; the faults are kill, pause",))
    refuse(MISUSE, "chaos", "--older", tmp_path, says=(f"{tmp_path} has no package venation",))
