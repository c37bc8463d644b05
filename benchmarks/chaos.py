"""Run `venation chaos` with several seeds, and count its faults and their effects by kind.

Repeat it on a quiet machine: on a busy one a failover takes many seconds, and there are fewer
faults.

    python benchmarks/chaos.py [--minutes 5] [--every 0.5] [--workers 4] [--older FOLDER]
"""

import argparse
import json
import subprocess
import sys
from typing import Any

from _report import write_report

SEEDS = (0, 1, 2)
EFFECTS = ("studies", "trials", "workers started", "silences beyond the grace", "lost leases", "lost by living workers")


def run(seed: int, options: list[str]) -> dict[str, Any]:
    """Run chaos with a seed; return its report."""
    command = [sys.executable, "-m", "venation.cli", "chaos", "--seed", str(seed), "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"seed {seed}: exit code {done.returncode}")
    report: dict[str, Any] = json.loads(done.stdout)
    for outcome, count in report["workers of an older version"].items():
        report[f"older workers that {outcome}"] = count
    report["violations"] = len(report["violations"])
    return report


def rows(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each kind of fault and each effect, with a column for each seed."""
    faults = sorted({name for report in reports for name in report if name.startswith("fault ")})
    older = sorted({name for report in reports for name in report if name.startswith("older workers that ")})
    table = []
    for name in (*faults, *EFFECTS, *older, "violations"):
        counts = [report.get(name, 0) for report in reports]
        row = {"group": "fault" if name in faults else "effect", "what": name.removeprefix("fault ")}
        table.append(row | {f"seed{report['seed']}": n for report, n in zip(reports, counts, strict=True)})
        table[-1]["all"] = sum(counts)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", default="5")
    parser.add_argument("--every", default="0.5")
    parser.add_argument("--workers", default="4")
    parser.add_argument("--older")
    given = parser.parse_args()
    options = ["--minutes", given.minutes, "--every", given.every, "--workers", given.workers]
    options += ["--older", given.older] if given.older else []
    write_report("chaos", rows([run(seed, options) for seed in SEEDS]))


if __name__ == "__main__":
    main()
