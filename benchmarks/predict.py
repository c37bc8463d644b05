"""Compare the two runners of a bundle: images per second, seconds to the first answer, size.

The bundle is that of ``venation try`` on generated leaves: EfficientNet-Lite0 at 224 pixels, so no
study is needed. Images per second are of decoded images, so that both runners do the same besides;
``files`` adds decoding photographs of 1024 x 1024 pixels. The first answer is that of a new process
with one image, in seconds and in CPU seconds, which other programs disturb less. With
``--install`` both installations are made from the package index in folders of their own, and their
sizes are those of all installed packages without pip; without it, the sizes of the last run stay.

Takes three minutes of CPU time; with ``--install`` as long as the downloads take.

    python benchmarks/predict.py [--install]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import RESULTS, best_seconds, write_report
from PIL import Image

import venation
from venation.data.synthetic import write_leaves

IMAGES, SIDE = 32, 1024
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--install", action="store_true", help="measure the sizes of both installations")
    install = parser.parse_args().install
    with tempfile.TemporaryDirectory() as folder:
        bundle, photos = make_inputs(Path(folder))
        sizes = {"onnx": installed_megabytes(""), "torch": installed_megabytes("[search]")} if install else last_sizes()
        rows = [measure(runner, bundle, photos) | {"installed MB": sizes.get(runner)} for runner in ("torch", "onnx")]
    write_report("predict", rows)


def make_inputs(folder: Path) -> tuple[Path, list[Path]]:
    """Return a bundle and larger photographs of its leaves."""
    write_leaves(folder / "leaves", classes=4, images=8, size=224, seed=3)
    venation.try_data(folder / "leaves", out=folder / "first.bundle")
    photos = []
    for index, path in enumerate(sorted((folder / "leaves/images").rglob("*.png"))[:IMAGES]):
        photos.append(folder / f"{index}.jpg")
        with Image.open(path) as image:
            image.convert("RGB").resize((SIDE, SIDE)).save(photos[-1], quality=90)
    return folder / "first.bundle", photos


def measure(runner: Any, bundle: Path, photos: list[Path]) -> dict[str, Any]:
    """Return the figures of one runner."""
    loaded = venation.load_bundle(bundle, runner=runner, device="cpu")
    decoded = [np.asarray(Image.open(path)) for path in photos]
    rates = {
        "images/s, one at a time": IMAGES / best_seconds(lambda: loaded.predict(decoded, batch_size=1)),
        "images/s, batches of 16": IMAGES / best_seconds(lambda: loaded.predict(decoded)),
        "images/s, files": IMAGES / best_seconds(lambda: loaded.predict(photos)),
    }
    command = [sys.executable, "-m", "venation.cli", "predict", bundle, photos[0], "--runner", runner, "-o"]
    started, cpu_started = time.perf_counter(), children_seconds()
    rounds = 3
    for number in range(rounds):
        subprocess.run([*map(str, command), bundle.parent / f"{runner}{number}"], check=True, capture_output=True)
    first = {
        "first answer, s": (time.perf_counter() - started) / rounds,
        "first answer, CPU s": (children_seconds() - cpu_started) / rounds,
    }
    return {"runner": runner, "threads": torch.get_num_threads(), **rates, **first}


def children_seconds() -> float:
    """Return the CPU seconds of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def last_sizes() -> dict[str, float]:
    """Return the installed sizes of the last run, by runner."""
    path = RESULTS / "predict-cpu.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return {row["runner"]: row["installed MB"] for row in rows}


def installed_megabytes(extra: str) -> float:
    """Install this package with an extra from the index, and return the size of all packages."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = Path(folder) / "bin" / "pip"
        subprocess.run([pip, "install", "--quiet", f"{ROOT}{extra}"], check=True)
        packages = [
            path for path in Path(folder).glob("lib/python*/site-packages/*") if path.name[:3] not in ("pip", "set")
        ]
        files = (file for path in packages for file in [path, *path.rglob("*")] if file.is_file())
        return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    main()
