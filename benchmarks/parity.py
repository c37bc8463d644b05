"""Compare torch, the reloaded bundle and onnxruntime, for the networks of every preset.

Every preset's own network, on a small encoder with random weights, is written as a bundle and read
back. The weights of decoders and heads are drawn wide, and BatchNorm takes its statistics from the
images, so that answers differ between images. All predict the same generated leaves from their
files, in sizes of their own. A row has the largest difference of a class probability from torch,
the share of equal labels, and the smallest share of equal pixels of a mask.

Takes ten minutes of CPU time: writing ONNX takes most of it.

    python benchmarks/parity.py
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import write_report
from PIL import Image

from venation.bundles.load_network import LoadedBundle, load_parts
from venation.bundles.onnx_model import write_graphs
from venation.bundles.open_predictor import open_predictor
from venation.bundles.record import WEIGHTS, BundleRecord
from venation.data.data_config import DataConfig, SplitConfig
from venation.data.fit_image import eval_array
from venation.data.images import read_image
from venation.data.synthetic import write_leaves
from venation.models.build import build_network
from venation.spaces.fields import set_fields
from venation.spaces.presets import PRESETS
from venation.trials.auto_fields import resolve_auto
from venation.trials.checkpoint import write_weights
from venation.trials.kinds import Kind
from venation.trials.prediction import Prediction
from venation.trials.trial_config import TrialConfig

IMAGES, SIDE, CLASSES = 12, 64, ("ash", "beech", "elm")
SMALL = {"encoder.name": "test_resnet", "encoder.weights": "none", "encoder.frozen_children": 0, "data.size": SIDE}
# A network with a mask besides labels has a preset's decoder; the others have none.
CASES: dict[str, tuple[str, Kind, dict[str, Any]]] = {
    **{f"{preset}": (preset, Kind.CLASSIFIER, {}) for preset in PRESETS},
    "xmnet, U-Net": ("xmnet", Kind.DECODER, {"decoder.channels": 8}),
    "mnsa, MNSA": ("mnsa", Kind.DECODER, {"decoder.channels": 8}),
    "default, windows": ("default", Kind.DECODER, {"decoder.channels": 8, "data.fit": "patch", "data.zoom": 1.0}),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder))
        write_report("parity", [row for name in CASES for row in compare(name, photos, Path(folder) / name)])


def make_photos(folder: Path) -> list[Path]:
    """Return photographs of generated leaves, of different shapes."""
    write_leaves(folder / "leaves", classes=3, images=IMAGES // 3, size=SIDE, seed=3)
    photos = []
    for index, path in enumerate(sorted((folder / "leaves/images").rglob("*.png"))):
        photos.append(folder / f"{index}.png")
        with Image.open(path) as image:
            image.convert("RGB").resize((70 + 7 * index, 110 - 3 * index)).save(photos[-1])
    return photos


def compare(name: str, photos: Sequence[Path], folder: Path) -> list[dict[str, Any]]:
    """Return a row for the reloaded bundle and one for onnxruntime, both against torch."""
    folder.mkdir()
    parts = network_of(name, photos)
    write_weights(parts.network.state_dict(), folder / WEIGHTS)
    write_graphs(parts.network, parts.record, folder)
    expected = list(parts.predictor(device=None, flips=False).predict(photos))
    found = {
        "reloaded bundle": load_parts(folder, parts.record).predictor(device=None, flips=False),
        "onnxruntime": open_predictor(folder, parts.record, runner="onnx"),
    }
    config = parts.record.config
    about = {"preset": name, "fit": config.data.fit, "decoder": config.decoder.kind, "images": len(photos)}
    return [about | {"against torch": way} | agreement(expected, list(found[way].predict(photos))) for way in found]


def network_of(name: str, photos: Sequence[Path]) -> LoadedBundle:
    """Return a record and a random network of a preset, normalised on the photographs."""
    preset, kind, settings = CASES[name]
    config = resolve_auto(set_fields(PRESETS[preset][kind].config, SMALL | settings))
    if config.plugin.width:
        config = set_fields(config, {"plugin.width": 16, "plugin.joint": 4})
    torch.manual_seed(0)
    network = build_network(config.network(len(CLASSES))).eval()
    for part in (network.decoder, network.head):
        for parameter in part.parameters() if part is not None else ():
            torch.nn.init.normal_(parameter, std=0.5)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches, here one
            module.reset_running_stats()
    seen = [eval_array(read_image(path), DataConfig(size=SIDE)) for path in photos]
    with torch.no_grad():
        network.train()(torch.from_numpy(np.stack(seen)))
    network.eval()
    return LoadedBundle(record_of(config), network, None)


def record_of(config: TrialConfig) -> BundleRecord:
    """Return a record without origin and scores."""
    return BundleRecord(
        sources=(), config=config, classes=CLASSES, metrics={}, images={"train": 0, "val": 0, "test": 0},
        data_fingerprint="", split=SplitConfig(), provenance={},
    )  # fmt: skip


def agreement(expected: Sequence[Prediction], found: Sequence[Prediction]) -> dict[str, Any]:
    """Return the differences of two lists of predictions."""
    pairs = list(zip(expected, found, strict=True))
    masks = [
        float((one.mask == other.mask).mean())
        for one, other in pairs
        if one.mask is not None and other.mask is not None
    ]
    return {
        "largest_difference": max(
            abs(share - dict(other.top)[name]) for one, other in pairs for name, share in one.top
        ),
        "labels": float(np.mean([one.label == other.label for one, other in pairs])),
        "mask_pixels": f"{min(masks):.2%}" if masks else "no mask",
        "distinct_labels": len({one.label for one, _ in pairs}),
    }


if __name__ == "__main__":
    main()
