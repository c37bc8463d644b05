"""Compare graphs of a lower precision, and OpenVINO, with fp32 in onnxruntime: accuracy and speed.

The networks are the linear probe of ``venation try`` and the ``default`` classifier, pretrained and
trained for a few epochs, on the data set ``uci_leaf`` in VENATION_REAL_DATA (by default
``../shared/data``; skipped with a message where it is missing). Both are fitted on the training
split, whose images also fix the ranges of int8, and scored on the validation split. Speeds are
images per second of processor time, from decoded images, of one run in which all take turns; only
their ratios count. OpenVINO is measured if it is installed.

Takes three minutes of CPU time.

    python benchmarks/precisions.py
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import write_report

from venation.bundles.compact_graphs import CALIBRATION, write_compact
from venation.bundles.load_network import LoadedBundle
from venation.bundles.onnx_model import write_graphs
from venation.bundles.open_predictor import graph_predictor
from venation.bundles.record import ONNX, BundleRecord, graph_name
from venation.data.data_config import DataConfig, SplitConfig
from venation.data.dataset import LeafDataset
from venation.data.images import read_image
from venation.data.loader import make_loader
from venation.data.manifest import Manifest, Sample, evenly_spaced, load_manifest
from venation.data.splits import assign_splits
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.trials.auto_fields import resolve_auto
from venation.trials.features import pool_features
from venation.trials.image_predictor import ImagePredictor
from venation.trials.probe import fit_probe
from venation.trials.probe_config import DEFAULT_ENCODER, probe_config
from venation.trials.train import fit
from venation.trials.trial_config import TrialConfig

REAL = Path(os.environ.get("VENATION_REAL_DATA", "../shared/data"))
DEVICE = torch.device("cpu")
EPOCHS, BATCH, TURNS = 2, 16, 5
# Precision of the graph, and whether OpenVINO runs it.
WAYS = {"fp32": ("fp32", False), "fp16": ("fp16", False), "int8": ("int8", False)} | {
    "fp32, OpenVINO": ("fp32", True),
    "int8, OpenVINO": ("int8", True),
}


def main() -> None:
    if not (REAL / "uci_leaf").exists():
        print(f"precisions: skipped, {REAL / 'uci_leaf'} does not exist; set VENATION_REAL_DATA")
        return
    manifest = assign_splits(load_manifest(REAL / "uci_leaf"), seed=0)
    rows = []
    for name, make in {"linear probe": linear_probe, "default": default_classifier}.items():
        with tempfile.TemporaryDirectory() as folder:
            rows += [{"network": name} | row for row in measure(*make(manifest), manifest, Path(folder))]
    write_report("precisions", rows)


def linear_probe(manifest: Manifest) -> tuple[MultitaskNetwork, TrialConfig]:
    """Return the probe of ``venation try``, fitted on the training split."""
    config = probe_config(DEFAULT_ENCODER, DataConfig(size=224))
    network = build_network(config.network(len(manifest.classes)))
    features = pool_features(network, dataset(manifest, config, train=False), DEVICE)
    fit_probe(features, num_classes=len(manifest.classes)).copy_to(network)
    return network, config


def default_classifier(manifest: Manifest) -> tuple[MultitaskNetwork, TrialConfig]:
    """Return the network of the preset, fine-tuned for a few epochs."""
    own = {"train.epochs": EPOCHS}
    config = resolve_auto(set_fields(recipe("default", "classifier").config, own))
    torch.manual_seed(0)
    network = build_network(config.network(len(manifest.classes)))
    loaders = [
        make_loader(data, batch_size=config.train.batch_size, train=train, seed=0)
        for train, data in ((True, dataset(manifest, config, train=True)), (False, validation(manifest, config)))
    ]
    for _ in fit(network, *loaders, config.train, task="classify", device=DEVICE, monitor="logloss"):
        pass
    return network, config


def dataset(manifest: Manifest, config: TrialConfig, *, train: bool) -> LeafDataset:
    return LeafDataset(manifest.split("train"), manifest.classes, config.data, train=train)


def validation(manifest: Manifest, config: TrialConfig) -> LeafDataset:
    return LeafDataset(manifest.split("val"), manifest.classes, config.data, train=False)


def measure(network: MultitaskNetwork, config: TrialConfig, manifest: Manifest, folder: Path) -> list[dict[str, Any]]:
    """Return a row for each precision and runner."""
    record = BundleRecord(
        sources=(), config=config, classes=manifest.classes, metrics={}, images={"train": 0, "val": 0, "test": 0},
        data_fingerprint="", split=SplitConfig(), provenance={},
    )  # fmt: skip
    write_graphs(LoadedBundle(record, network.eval(), None).network, record, folder)
    chosen = [sample.image for sample in evenly_spaced(manifest.split("train"), CALIBRATION)]
    for precision in ("fp16", "int8"):
        write_compact(folder, record, precision, chosen)  # type: ignore[arg-type]
    has_openvino = importlib.util.find_spec("openvino") is not None
    ways = {name: way for name, way in WAYS.items() if has_openvino or not way[1]}
    predictors = {
        name: graph_predictor(folder, record, precision=precision, openvino=openvino)  # type: ignore[arg-type]
        for name, (precision, openvino) in ways.items()
    }
    samples = manifest.split("val")
    answers = {name: answer(predictor, samples) for name, predictor in predictors.items()}
    speeds = images_per_second(list(predictors.values()), samples)
    rows, actual_I = [], np.array([sample.label for sample in samples])
    for (name, (label_I, probability_IN)), speed in zip(answers.items(), speeds, strict=True):
        reference_I, reference_IN = answers["fp32"]
        rows.append(
            {
                "way": name,
                "images": len(samples),
                "accuracy": float(np.mean(label_I == actual_I)),
                "equal labels": float(np.mean(label_I == reference_I)),
                "largest difference": float(np.abs(probability_IN - reference_IN).max()),
                "images/s": speed,
                "speed": speed / speeds[0],
                "MB": (folder / graph_name(ONNX, ways[name][0])).stat().st_size / 1e6,  # type: ignore[arg-type]
            }
        )
    return rows


def answer(predictor: ImagePredictor, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Return label and class probabilities of each image."""
    found = list(predictor.predict([sample.image for sample in samples]))
    return np.array([each.label for each in found]), np.array([list(each.probabilities.values()) for each in found])


def images_per_second(predictors: Sequence[ImagePredictor], samples: Sequence[Sample]) -> list[float]:
    """Return the speed of each predictor on a batch of decoded images; they take turns."""
    images = [(None, read_image(sample.image, predictors[0].config)) for sample in evenly_spaced(samples, BATCH)]
    # CPU time: other programs disturb it less than the clock's.
    seconds = np.empty((TURNS, len(predictors)))
    for turn in range(TURNS):
        for at, predictor in enumerate(predictors):
            started = time.process_time()
            predictor.predict_batch(images)
            seconds[turn, at] = time.process_time() - started
    return [float(len(images) / best) for best in seconds.min(axis=0)]


if __name__ == "__main__":
    main()
