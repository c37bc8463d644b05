"""Predict many files: images per second and memory, against the loop that a user would write.

The bundle is that of ``venation try`` on generated leaves (EfficientNet-Lite0 at 224 pixels), the
files are photographs of 640 x 480 pixels. The plain loop (``peers/timm_predict.py``) decodes and
resizes with timm's transform and runs the same network in torch, on a tenth of the files. Rates are
in files per second of processor time, start included. Memory is the largest resident set, after a
tenth of the files and at the end; it is read every second.

    python benchmarks/predict_many.py [--images 10000]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from _report import write_report
from PIL import Image
from predict import make_inputs

PEER = Path(__file__).parent / "peers" / "timm_predict.py"
SIZE = (640, 480)


def make_photos(sources: list[Path], folder: Path, count: int) -> Path:
    """Fill a folder with links to the smaller photographs, and return it."""
    folder.mkdir()
    kept = folder.parent / f"{folder.name}-files"
    kept.mkdir()
    for index, source in enumerate(sources):
        with Image.open(source) as image:
            image.resize(SIZE).save(kept / f"{index}.jpg", quality=90)
    for number in range(count):
        (folder / f"{number:06}.jpg").hardlink_to(kept / f"{number % len(sources)}.jpg")
    return folder


def measure(name: str, command: list[Any], images: int, done: Path) -> dict[str, Any]:
    """Run a command that appends a line for each image to the file ``done``; return its figures."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    early = peak = 0.0
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL) as process:
        program = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, program.memory_info().rss / 2**20)
            except psutil.NoSuchProcess:
                break
            if not early and done.exists() and done.read_bytes().count(b"\n") > images / 10:
                early = peak
            time.sleep(1)
    if process.returncode:
        sys.exit(f"{name}: exit code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "program": name,
        "images": images,
        "images per processor s": images / used,
        "images per s": images / (time.monotonic() - started),
        "MiB after a tenth": early,
        "MiB at the end": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        bundle, sources = make_inputs(Path(folder))
        rows = []
        for runner, images in (("onnx", count), ("torch", count // 10)):
            photos, out = make_photos(sources, Path(folder) / f"photos-{runner}", images), Path(folder) / runner
            command = [sys.executable, "-m", "venation.cli", "predict", bundle, photos, "-o", out, "--runner", runner]
            rows.append(measure(f"venation predict, {runner}", command, images, out / "predictions.csv"))
        table = Path(folder) / "plain.csv"
        command = [sys.executable, PEER, Path(folder) / "photos-torch", table, "--classes", 4]
        rows.append(measure("plain loop", command, count // 10, table))
    for row in rows:
        row["ratio"] = row["images per processor s"] / rows[-1]["images per processor s"]
    write_report("predict-many", rows)


if __name__ == "__main__":
    main()
