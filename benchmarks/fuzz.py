"""Try hostile inputs on every reader, each kind in processes of its own.

The answer to an input is a result or one line. Everything else is a fault: another error, a crash,
no end, more than 2 GiB, a file outside, a program run. The tests try a few inputs of each kind;
this command tries many, and goes on where an earlier run stopped. Faults are in OUT/faults.

    python benchmarks/fuzz.py [--inputs N] [--kind NAME]... [--seed N] [--out FOLDER] [--again FILE]
"""

import argparse
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzzing.attempt import Kind, attempt  # noqa: E402

CHUNK = 2000  # inputs of one process
NO_END_S = 180
_MORE_BYTES = 6 << 30  # address space of a process beyond what the libraries take


def run_chunk(kind: Kind, number: int, count: int, folder: Path, out: Path) -> None:
    """Try ``count`` inputs; write the counts after every one, and each fault as a file."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + _MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    warnings.simplefilter("ignore")
    counts = {"inputs": 0, "accepted": 0, "refused": 0, "faults": 0}

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.inputs)
    def run(content: bytes) -> None:
        (folder / "current").write_bytes(content)
        counts["inputs"] += 1
        try:
            counts["accepted" if attempt(kind, content, folder / "work") else "refused"] += 1
        except Exception as error:
            counts["faults"] += 1
            write_fault(kind, content, "".join(traceback.format_exception(error)), out)
        (folder / "counts.json").write_text(json.dumps(counts))

    run()


def write_fault(kind: Kind, content: bytes, report: str, out: Path) -> None:
    """Write an input and what it did; faults of one place share a folder, of 20 inputs at most."""
    places = [line for line in report.splitlines() if line.lstrip().startswith("File ")]
    what = report.strip().splitlines()[-1].partition(":")[0] + (places[-1] if places else "")
    home = out / "faults" / kind.name.replace("/", " ") / hashlib.sha256(what.encode()).hexdigest()[:8]
    home.mkdir(parents=True, exist_ok=True)
    if len(list(home.iterdir())) < 40:
        name = hashlib.sha256(content).hexdigest()[:12]
        (home / f"{name}.bin").write_bytes(content)
        (home / f"{name}.txt").write_text(report, errors="backslashreplace")


def run_apart(kind: Kind, number: int, count: int, out: Path) -> dict[str, int]:
    """Run a chunk in a process of its own; its crash or endless input is one fault more."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=base) as aside:
        folder = Path(aside)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run_chunk(kind, number, count, folder, out)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        status = _wait(child, folder)
        written = folder / "counts.json"
        counts: dict[str, int] = json.loads(written.read_text()) if written.exists() else {}
        if status != "0":
            write_fault(kind, (folder / "current").read_bytes(), f"{status}: the process ended", out)
            counts["inputs"], counts["faults"] = counts.get("inputs", 0) + 1, counts.get("faults", 0) + 1
    return counts


def _wait(child: int, folder: Path) -> str:
    """Return how a process ended; one that is long at one input is killed."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return str(os.waitstatus_to_exitcode(status))
        now = folder / "current"
        if now.exists() and time.time() - now.stat().st_mtime > NO_END_S:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return f"no end within {NO_END_S} s"
        time.sleep(0.2)


def run_kind(kind: Kind, wanted: int, first_seed: int, out: Path) -> None:
    """Try inputs of a kind until ``wanted`` of them are counted in its file."""
    for content in kind.seeds:
        assert attempt(kind, content, out / "seeds"), f"a valid file of {kind.name} is refused"
    path = out / f"{kind.name.replace('/', ' ')}.json"
    row = {"kind": kind.name, "chunks": 0, "inputs": 0, "accepted": 0, "refused": 0, "faults": 0}
    row |= json.loads(path.read_text()) if path.exists() else {}
    while row["inputs"] < wanted:
        counts = run_apart(kind, first_seed + row["chunks"], min(wanted - row["inputs"], CHUNK), out)
        row |= {key: row[key] + value for key, value in counts.items()} | {"chunks": row["chunks"] + 1}
        path.write_text(json.dumps(row, indent=2) + "\n")
        print(row, flush=True)


def row_of(name: str, out: Path) -> dict[str, Any]:
    """Return the counts of a kind; ``places`` is the number of different faults."""
    row = json.loads((out / f"{name.replace('/', ' ')}.json").read_text())
    home = out / "faults" / name.replace("/", " ")
    del row["chunks"]
    return row | {"places": len(list(home.iterdir())) if home.exists() else 0}


def main() -> None:
    import torch
    from _report import write_report
    from fuzzing.kinds import KINDS

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all kinds together")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="repeatable; default: all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--again", type=Path, help="try one input of --kind again, and raise its error")
    options = parser.parse_args()
    if options.again:
        print(attempt(KINDS[options.kind[0]], options.again.read_bytes(), options.out / "again"))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    total = sum(kind.share for kind in KINDS.values())
    for name in options.kind or KINDS:
        run_kind(KINDS[name], round(options.inputs * KINDS[name].share / total), options.seed, options.out)
    if not options.kind:
        write_report("fuzz", [row_of(name, options.out) for name in KINDS])


if __name__ == "__main__":
    main()
