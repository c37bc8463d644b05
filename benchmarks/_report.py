"""Shared by all benchmarks: best-of timing, a table, and a JSON file with the machine."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


def best_seconds(run: Callable[[], object], *, repeats: int = 3) -> float:
    """Return the shortest of a few wall-clock times of ``run``, with the least disturbance."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


def write_report(name: str, rows: list[dict[str, Any]], *, folder: Path = RESULTS) -> None:
    """Print ``rows`` as a table and write them to ``FOLDER/NAME-DEVICE.json`` with the machine."""
    cuda = torch.cuda.is_available()
    machine = {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        # Above the number of threads, other programs ran beside the benchmark.
        "load": round(os.getloadavg()[0], 1),
    }
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=120).print(table)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{'cuda' if cuda else 'cpu'}.json"
    path.write_text(json.dumps({"benchmark": name, "machine": machine, "rows": rows}, indent=2) + "\n")
