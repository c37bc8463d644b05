"""Use the service for a long time, and check that memory, open files and connections stay flat.

A worker, a dashboard and a served bundle run as processes of their own on an embedded database. In
each round the worker ends four trials of three studies (classifier, decoder, booster; tiny
networks), the served bundle answers ten photos with two pictures each, and the dashboard answers
twenty requests. Rounds start at least 20 s apart. After each one every process is measured, and
PostgreSQL with all its processes.

The first third of the rounds is warm-up. A measure is flat if its median in the last third is above
that of the second third by no more than 3 % or 8 MiB for memory, whichever is more, and not at all
for files, threads and connections. The exit code is 1 if one is not flat.

    python benchmarks/soak.py [--minutes 15] [--quick] [--picture FILE.png]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from _report import RESULTS, write_report
from _soak_verdicts import Samples, verdicts

# The shortest time between the starts of two rounds, in seconds.
PACE = 20.0


def options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--quick", action="store_true", help="three rounds, to see that it runs; nothing is written")
    parser.add_argument("--picture", type=Path, help="draw the curves here")
    return parser.parse_args()


def run(minutes: float, *, rounds: int) -> Samples:
    """Return a sample for each round, in as many minutes and at least so many rounds."""
    from _soak_service import Service

    samples: Samples = []
    with tempfile.TemporaryDirectory(prefix="soak") as folder, ExitStack() as stack:
        os.environ["VENATION_HOME"] = str(Path(folder) / "home")
        stack.callback(_stop_database)
        service, started = Service(Path(folder), stack), time.monotonic()
        while len(samples) < rounds or time.monotonic() < started + 60 * minutes:
            begun = time.monotonic()
            trials = service.round()
            samples.append({"minute": (time.monotonic() - started) / 60, "trials": trials} | service.sample())
            memory = sum(value for name, value in samples[-1].items() if name.endswith("MiB"))
            print(f"minute {samples[-1]['minute']:.1f}: {trials} trials, {memory:.0f} MiB", flush=True)
            if minutes:
                time.sleep(max(0.0, begun + PACE - time.monotonic()))
    return samples


def _stop_database() -> None:
    from venation.storage import embedded

    embedded.stop()


def draw(samples: Samples, path: Path) -> None:
    """Draw the memory of every process over the minutes."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(8, 4), layout="constrained")).subplots()
    for name in samples[0]:
        if name.endswith("MiB"):
            values = [sample[name] for sample in samples]
            axes.plot([sample["minute"] for sample in samples], values, label=name.removesuffix(" memory MiB"))
    axes.set(xlabel="minutes", ylabel="memory in MiB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run, write the table and the samples, and say what is not flat."""
    given = options()
    samples = run(0.0 if given.quick else given.minutes, rounds=3)
    rows = verdicts(samples)
    if given.picture:
        draw(samples, given.picture)
    if given.quick:
        return
    name = "soak" if given.minutes < 60 else "soak-long"
    (RESULTS / f"{name}-samples.json").write_text(json.dumps(samples) + "\n")
    write_report(name, rows)
    if rising := [row["measure"] for row in rows if not row["flat"]]:
        sys.exit(f"not flat: {', '.join(rising)}")


if __name__ == "__main__":
    main()
