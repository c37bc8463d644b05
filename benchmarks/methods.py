"""Compare every preset and every decoder with equal split, encoder, image size and epochs.

Sets: ``uci_leaf`` and ``hrf_vessels`` in VENATION_REAL_DATA (by default ``../shared/data``; a
missing set is skipped with a message) and leaves generated here. The best epoch is chosen on the
validation split. The table shows mean and standard deviation over the seeds on the sealed test
split.

Equal for all: encoder (from random weights, so no part of it is frozen for classification), image
size and fit, split, epochs. A row whose training is ``own`` keeps its preset's optimiser, schedule,
batch size, augmentation and losses; those of the papers were made for pretrained weights. A row
whose training is ``default`` uses the decoder with the default's training. The plug-in modules are
256 wide and join 8 positions per node, so that small maps can fill them. Decoders use the frozen
classifier that the default trained at the same seed. All trainings are short and from random
weights, with the papers' learning rates: a decoder that is poor here may be good after a longer
training.

    python benchmarks/methods.py [--quick] [--sets uci_leaf,leaves] [--work FOLDER]
"""

import argparse
import os
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from _methods_recipes import CPU, CUDA, QUICK, Row, Scale, classifiers, decoders
from _methods_runs import Runs
from _report import write_report

from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.data.synthetic import write_leaves

REAL = Path(os.environ.get("VENATION_REAL_DATA", "../shared/data"))
WORK = Path(__file__).parents[1] / "build" / "methods"
VAL, TEST = 0.2, 0.3
# One tile of an eye hardly shows its class (README of hrf_vessels).
ONLY_MASKS = ("hrf_vessels",)


def open_set(name: str, scale: Scale, work: Path) -> Runs | None:
    """Return the fits on one set; if it is missing, print why and return None."""
    folder = REAL / name
    if name == "leaves":
        size = scale.places[name].size
        folder = work / f"leaves-{scale.leaf_classes}-{scale.leaves}-{size}"
        if not folder.exists():
            write_leaves(folder, classes=scale.leaf_classes, images=scale.leaves, size=size, seed=7)
    if not folder.exists():
        print(f"{name}: skipped, {folder} does not exist; set VENATION_REAL_DATA")
        return None
    manifest = assign_splits(load_manifest(folder), seed=0, val=VAL, test=TEST)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Runs(work, name, manifest, device)


def run_row(runs: Runs, row: Row, scale: Scale, base: Row | None) -> dict[str, Any]:
    """Return one line of the table: the row's fits at every seed."""
    outcomes = []
    for seed in range(scale.seeds):
        path = base and runs.weights_path(base.config, task="classify", seed=seed)
        outcomes.append(runs.result(row.config, task=row.task, seed=seed, base=path))
    line = {"set": runs.name, "task": row.task, "method": row.method, "training": row.training}
    for short, metrics in {"score": ("accuracy", "iou"), "f1": ("macro_f1", "dice")}.items():
        metric = metrics[0] if row.task == "classify" else metrics[1]
        values = [one["test"][metric] for one in outcomes]
        line |= {short: fmean(values), f"{short}_std": pstdev(values)}
    line |= {"val": fmean(one["val"] for one in outcomes), "M_params": outcomes[0]["parameters"] / 1e6}
    line["s_epoch"] = min(one["seconds"] for one in outcomes)
    print(" ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in line.values()), flush=True)
    return line


def table(scale: Scale, names: list[str], work: Path) -> list[dict[str, Any]]:
    """Return every row on every set."""
    lines = []
    for name in names:
        runs = open_set(name, scale, work)
        if runs is None:
            continue
        place = scale.places[name]
        rows = classifiers(scale, place)
        base = rows[0]
        if name in ONLY_MASKS:
            for seed in range(scale.seeds):
                runs.result(base.config, task="classify", seed=seed)
            rows = []
        lines += [run_row(runs, row, scale, None) for row in rows]
        lines += [run_row(runs, row, scale, base) for row in decoders(scale, place)]
    return lines


def main() -> None:
    """Read the options, run the table, and write it if it is complete."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run of about a minute; nothing is written")
    parser.add_argument("--sets", help="only these sets, comma-separated; nothing is written")
    parser.add_argument("--work", type=Path, default=WORK, help="folder that stores the fits")
    options = parser.parse_args()
    scale = QUICK if options.quick else CUDA if torch.cuda.is_available() else CPU
    options.work.mkdir(parents=True, exist_ok=True)
    names = options.sets.split(",") if options.sets else list(scale.places)
    lines = table(scale, names, options.work)
    if not options.quick and not options.sets:
        write_report("methods", lines)


if __name__ == "__main__":
    main()
