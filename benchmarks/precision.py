"""Compare half-precision trainings (``train.precision=bf16``) with float32: speed and metric.

Networks of `step.py` are trained on the same generated leaves in both precisions, from three seeds.
The metric is that of the last epoch on the validation split. On a CPU the seconds are CPU time. The
table gives the fastest epoch.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from _report import write_report
from _step_cases import CASES, CUDA, DEVICE, Case

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Manifest, load_manifest
from venation.data.synthetic import write_leaves
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import NetworkConfig
from venation.trials.train import fit
from venation.trials.trial_config import TrainConfig

SEEDS = (0, 1, 2)
CLASSES, IMAGES, TRAINED = 4, 10, 6  # images per class, and how many of them are for training
SIZE = 448 if CUDA else 96
BATCH = 8 if CUDA else 4
EPOCHS = {"classify": 10, "segment": 14}

Precision = Literal["fp32", "bf16"]
_clock: Callable[[], float] = time.perf_counter if CUDA else time.process_time


def network(case: Case, seed: int) -> MultitaskNetwork:
    """Build the case's network with the weights of a seed."""
    torch.manual_seed(seed)
    config = NetworkConfig(encoder=case.encoder, decoder=case.decoder, num_classes=CLASSES, size=(SIZE, SIZE))
    return build_network(config)


def loaders(manifest: Manifest, seed: int) -> list[Loader]:
    """Load the first images of every class for training, and the others for validation."""
    parts = []
    for train in (True, False):
        samples = [sample for number, sample in enumerate(manifest.samples) if (number % IMAGES < TRAINED) is train]
        data = LeafDataset(samples, manifest.classes, DataConfig(size=SIZE), train=train)
        parts.append(make_loader(data, batch_size=BATCH, train=train, seed=seed))
    return parts


def train(case: Case, manifest: Manifest, precision: Precision, seed: int) -> tuple[float, float]:
    """Return the seconds of the fastest epoch, and the metric after the last."""
    config = TrainConfig(epochs=EPOCHS[case.task], batch_size=BATCH, precision=precision, seed=seed)
    monitor = "iou" if case.task == "segment" else "logloss"
    times, metric, started = [], 0.0, _clock()
    parts = loaders(manifest, seed)
    for result in fit(network(case, seed), *parts, config, task=case.task, device=DEVICE, monitor=monitor):
        times.append(_clock() - started)
        metric, started = result.metrics[monitor], _clock()
    return min(times), metric


def rows(case: Case, manifest: Manifest) -> list[dict[str, object]]:
    """Return a line per precision; the two alternate, so that both see the same machine load."""
    runs: dict[Precision, list[tuple[float, float]]] = {"fp32": [], "bf16": []}
    for seed in SEEDS:
        for precision, done in runs.items():
            done.append(train(case, manifest, precision, seed))
    single = min(seconds for seconds, _ in runs["fp32"])
    lines: list[dict[str, object]] = []
    for precision, done in runs.items():
        seconds, metrics = min(seconds for seconds, _ in done), [metric for _, metric in done]
        line: dict[str, object] = {"case": case.name, "precision": precision, "epoch_s": seconds}
        line |= {"times_faster": single / seconds, "metric": "iou" if case.task == "segment" else "logloss"}
        lines.append(line | {"mean": statistics.mean(metrics), "std": statistics.stdev(metrics)})
    return lines


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write_leaves(Path(folder), classes=CLASSES, images=IMAGES, size=128, seed=0)
        leaves = load_manifest(Path(folder))
        write_report("precision", [line for case in (CASES[0], CASES[2]) for line in rows(case, leaves)])
