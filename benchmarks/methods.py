"""Compare every preset, every decoder and plain scripts with equal encoder, images and epochs.

Sets: ``uci_leaf`` and ``hrf_vessels`` in VENATION_REAL_DATA (by default ``../shared/data``; a
missing set is skipped with a message) and leaves generated here. Every seed has its own split, as a
study with that seed makes it. The best epoch is chosen on the validation split. The table shows
mean and standard deviation over the seeds on the sealed test split.

Equal for all: EfficientNet-Lite0 with ImageNet weights, split, image size and fit (vessels: patches
at native scale for masks), epochs. A row whose training is ``own`` keeps its preset's optimiser,
schedule, batch size, augmentation and losses; a row whose training is ``default`` has the network
and the losses of the preset, and the rest of the default. A decoder alone always has the training
of the default, and stands on the frozen classifier that the default trained at the same seed. The
plug-in modules are 256 wide and join 8 positions per node, so that small maps can fill them; their
learning rate rises over the published share of the steps. ``plain`` rows are the scripts in
``benchmarks/peers``: the linear probe learns from training and validation images, and the
segmentation has as many steps of 8 images as the default decoder has images. A training that
diverges is repeated with a tenth and a hundredth of its learning rate; ``rate`` has the shares.

    python benchmarks/methods.py [--quick] [--sets uci_leaf,leaves] [--seeds 0] [--methods xmnet]
                                 [--stored] [--work FOLDER]

Every outcome is stored in ``results/methods-fits-DEVICE.jsonl``, so an interrupted run continues,
and two processes may work at different seeds, sets or methods at once; the last call without
options writes the table. ``--stored`` writes it at any time, each row with the number of its seeds.
An accuracy has a 95 % Wilson interval over the test images of all its seeds.
"""

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from _methods_peers import peer_result, peers
from _methods_recipes import CPU, CUDA, QUICK, Row, Scale, classifiers, decoders
from _methods_runs import Runs
from _report import RESULTS, write_report

from venation.data.manifest import load_manifest
from venation.data.synthetic import write_leaves
from venation.trials.shares import share_interval

REAL = Path(os.environ.get("VENATION_REAL_DATA", "../shared/data"))
WORK = Path(__file__).parents[1] / "build" / "methods"
# One tile of an eye hardly shows its class (README of hrf_vessels).
ONLY_MASKS = ("hrf_vessels",)


def open_set(name: str, scale: Scale, options: argparse.Namespace, seeds: Iterable[int]) -> list[Runs]:
    """Return the fits on one set by seed; if it is missing, print why and return none."""
    folder = REAL / name
    if name == "leaves":
        folder = options.work / f"leaves-{scale.leaf_classes}-{scale.leaves}-{scale.leaf_size}"
        if not folder.exists():
            write_leaves(folder, classes=scale.leaf_classes, images=scale.leaves, size=scale.leaf_size, seed=7)
    if not folder.exists():
        print(f"{name}: skipped, {folder} does not exist; set VENATION_REAL_DATA")
        return []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = load_manifest(folder)
    return [Runs(options.work, options.fits, options.stored, name, images, device, seed) for seed in seeds]


def set_rows(runs: list[Runs], scale: Scale, methods: str | None) -> Iterator[dict[str, Any]]:
    """Yield the lines of one set and some methods: classifiers, decoders, plain scripts."""
    name, place = runs[0].name, scale.places[runs[0].name]
    images = len(runs[0].manifest.split("train"))
    labels, masks = classifiers(scale, place, images=images), decoders(scale, place)
    has_labels, base = name not in ONLY_MASKS, labels[0].config
    rows = [row for row in (*(labels if has_labels else ()), *masks) if chosen(row, methods)]
    for row in rows:
        needed = {} if row.task == "classify" else {"base": base}
        outcomes = [run.result(row.config, task=row.task, **needed) for run in runs]
        yield from line(row, runs, outcomes)
    found = peers(scale, place, labels=has_labels, steps=steps(masks[0], images)) if scale.peers else []
    for peer in found:
        if chosen(peer, methods):
            yield from line(peer, runs, [peer_result(run, peer) for run in runs])


def chosen(row: Any, methods: str | None) -> bool:
    """Return True if the row is of one of the methods, or if all are wanted."""
    return methods is None or row.method in methods.split(",")


def steps(row: Row, images: int) -> int:
    """Return the number of batches of 8 that show as many images as the training of ``row``."""
    patches = row.config.data.patches if row.config.data.fit == "patch" else 1
    return row.config.train.epochs * images * patches // 8


def line(row: Any, runs: list[Runs], stored: list[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    """Yield and print the line of the table for the outcomes that there are, if there are any."""
    outcomes = [one for one in stored if one]
    if not outcomes:
        return
    found = {"set": runs[0].name, "task": row.task, "method": row.method}
    found |= {"training": getattr(row, "training", "plain"), "seeds": len(outcomes)}
    for short, metrics in {"score": ("accuracy", "iou"), "second": ("accuracy_blanked", "dice")}.items():
        metric = metrics[0] if row.task == "classify" else metrics[1]
        values = [one["test"][metric] for one in outcomes if metric in one["test"]]
        found |= {short: fmean(values), f"{short}_std": pstdev(values)} if values else {short: "", f"{short}_std": ""}
    if row.task == "classify":
        images = [len(run.manifest.split("test")) for run, one in zip(runs, stored, strict=True) if one]
        right = sum(round(one["test"]["accuracy"] * n) for one, n in zip(outcomes, images, strict=True))
        found |= dict(zip(("low", "high"), share_interval(right, sum(images)), strict=True))
    parameters, rates = outcomes[0].get("parameters"), sorted({one.get("rate", 1.0) for one in outcomes})
    found |= {"rate": " ".join(f"{rate:g}" for rate in rates)}
    found |= {"M_params": parameters / 1e6 if parameters else "", "seconds": min(one["seconds"] for one in outcomes)}
    print(" ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in found.values()), flush=True)
    yield found


def read_options(doc: str | None, work: Path) -> tuple[argparse.Namespace, Scale, list[int]]:
    """Return the options of a table, its scale and its seeds, and make its work folder.

    ``fits`` is the file of the outcomes.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run of about a minute; nothing is written")
    parser.add_argument("--sets", help="only these sets, comma-separated; nothing is written")
    parser.add_argument("--seeds", help="only these seeds, comma-separated; nothing is written")
    parser.add_argument("--methods", help="only these methods, comma-separated; nothing is written")
    parser.add_argument("--stored", action="store_true", help="run nothing, and write the table of what is stored")
    parser.add_argument("--work", type=Path, default=work, help="folder of weights and images")
    options = parser.parse_args()
    cuda = torch.cuda.is_available()
    scale = QUICK if options.quick else CUDA if cuda else CPU
    options.work.mkdir(parents=True, exist_ok=True)
    folder = options.work if options.quick else RESULTS
    options.fits = folder / f"{work.name}-fits-{'cuda' if cuda else 'cpu'}.jsonl"
    seeds = [int(seed) for seed in options.seeds.split(",")] if options.seeds else list(range(scale.seeds))
    return options, scale, seeds


def main() -> None:
    """Read the options, run the table, and write it if it is complete."""
    options, scale, seeds = read_options(__doc__, WORK)
    names = options.sets.split(",") if options.sets else list(scale.places)
    sets = [open_set(name, scale, options, seeds) for name in names]
    lines = [found for runs in sets if runs for found in set_rows(runs, scale, options.methods)]
    if not (options.quick or options.sets or options.seeds or options.methods):
        write_report("methods", lines)


if __name__ == "__main__":
    main()
