"""Commands that only read import no torch, and need little memory."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import typer
from small_bundle import SmallBundle

from venation.cli import app

# {bundle} and {leaves} stand for the session's bundle and its images.
READING = (
    *("study list", "study show tiny", "study trials tiny", "study best tiny", "study pareto tiny"),
    *("study space tiny", "study simulate tiny", "study oneshot tiny", "study resume tiny"),
    *("study extend tiny --trials 1", "study note tiny", "study delete missing --yes"),
    *("trial show tiny 0", "trial why tiny 0", "trial logs tiny 0"),
    *("worker list", "worker reap --once", "metrics --once", "top --once"),
    *("bundle show {bundle}", "data check {leaves}"),
    *("db init", "db start", "db status", "db doctor", "artifacts verify", "artifacts gc --dry-run"),
)
# These train, predict, draw, need torch to know a network, or do not end by themselves.
WORKING = (
    *("demo", "try", "predict", "evaluate", "report", "serve", "chaos", "dashboard"),
    *("data synth", "data import", "data masks", "worker run", "db stop"),
    *("study create", "study plan", "study migrate", "study signal"),
    *("bundle export", "bundle import", "bundle check", "bundle key", "bundle sign", "reproduce"),
)
# These have nothing to show here, or find fault with the test server's settings: exit code 1.
REFUSED = ("study simulate tiny", "study oneshot tiny", "study delete missing --yes", "artifacts verify", "db doctor")
HEAVY = ("torch", "torchvision", "timm", "xgboost", "onnxruntime", "sklearn")

# Runs each command in one process, and prints the heavy packages that are there after each.
CODE = """
import json, sys
from typer.testing import CliRunner
from venation.cli import app

def peak_mib():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

for line in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, line.split())
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    print(json.dumps([line, result.exit_code, heavy, peak_mib(), result.output[-500:]]), flush=True)
"""


def leaf_commands(command: Any, path: str = "") -> Iterator[str]:
    """Yield the words of every command that is no group."""
    members = getattr(command, "commands", {})
    for name, member in members.items():
        yield from leaf_commands(member, f"{path} {name}".strip())
    if not members:
        yield path


def test_no_reading_command_imports_torch(small_bundle: SmallBundle) -> None:
    lines = [line.format(bundle=small_bundle.path, leaves=small_bundle.leaves) for line in READING]
    command = [sys.executable, "-c", CODE, json.dumps(lines), json.dumps(HEAVY)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line for line, *_ in results] == lines
    assert {line: output for line, code, _, _, output in results if code and line not in REFUSED} == {}
    assert [(line, heavy) for line, _, heavy, _, _ in results if heavy] == []
    # `study list` comes first, in a new process: what it imports and reads fits into 150 MB.
    assert results[0][3] < 150


def test_every_command_either_reads_or_works() -> None:
    known = set(WORKING)
    for path in leaf_commands(typer.main.get_command(app)):
        known |= {path} if any(line == path or line.startswith(f"{path} ") for line in READING) else set()
    assert known == set(leaf_commands(typer.main.get_command(app)))


def test_the_dashboard_and_a_study_in_python_import_no_torch() -> None:
    code = (
        "import sys, venation; import venation.insight.dashboard, venation.insight.plan_record; venation.open_study;"
        " print([name for name in ('torch', 'timm') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
