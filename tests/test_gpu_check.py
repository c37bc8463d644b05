"""`make gpu-check` in its reduced form; tests/workers/test_ranks.py has several processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu_check.py"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU gets the full form, of minutes: make gpu-check")
@pytest.mark.slow
def test_the_reduced_form_writes_every_figure_with_its_goal(tmp_path: Path) -> None:
    done = run("--only", "agreement,deform,mnsa,timm", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (report,) = tmp_path.glob("gpu-check-*.json")
    rows = json.loads(report.read_text())["rows"]
    assert [row["check"].partition(":")[0] for row in rows if "difference" in row["check"]] == [
        "deformable convolution",
        "training in float32",
    ]
    assert {row["goal"] for row in rows} >= {">= 1.5", ">= 3", ">= 0.95", "<= 0.001"}
    assert all(isinstance(row["measured"], float) and row["measured"] >= 0 for row in rows)


@pytest.mark.slow
def test_an_unknown_check_is_refused() -> None:
    done = run("--only", "speed")
    assert done.returncode == 2 and "no check speed; choose from agreement, bf16" in done.stderr
