"""Predictions of the ONNX runner against those of torch, for every view; what it cannot do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import SmallBundle

import venation.bundles.open_predictor as open_predictor_file
from venation.bundles.bundle import read_record
from venation.bundles.load_network import LoadedBundle
from venation.bundles.onnx_model import write_graphs
from venation.bundles.onnx_runner import OnnxRunner, mask_logits
from venation.bundles.open_predictor import open_predictor
from venation.bundles.record import BundleRecord
from venation.errors import UsageError
from venation.models.build import build_network
from venation.spaces.fields import set_fields
from venation.trials.image_predictor import ImagePredictor
from venation.trials.predict import TorchRunner

VIEWS = {
    "squash with zoom and flips": {"data.hflip": 0.5, "data.vflip": 0.5},
    "pad": {"data.fit": "pad", "data.zoom": 1.0, "data.size": 64},
    "whole images": {"data.fit": "whole", "data.zoom": 1.0, "data.size": 64, "data.hflip": 0.5},
    "windows of two structures": {
        "data.fit": "patch", "data.zoom": 1.0, "data.size": 32, "data.hflip": 0.5, "decoder.classes": "vein,hole",
    },
}  # fmt: skip


def other(record: BundleRecord, settings: dict[str, Any]) -> LoadedBundle:
    """Return a bundle with other settings, and a random network for them."""
    torch.manual_seed(1)
    config = set_fields(record.config, settings)
    changed, network = record.model_copy(update={"config": config}), build_network(config.network(2)).eval()
    for parameter in network.decoder.parameters() if network.decoder is not None else ():
        # An untrained decoder finds no structure anywhere.
        torch.nn.init.normal_(parameter, std=0.5)
    return LoadedBundle(changed, network, None)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "wide.png", tmp_path / "tall.png"]
    for path, size in zip(paths, [(60, 110), (90, 41)], strict=True):
        rough = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(rough).resize(size[::-1], Image.Resampling.BICUBIC).save(path)
    return paths


@pytest.mark.parametrize("settings", VIEWS.values(), ids=VIEWS)
def test_labels_and_masks_equal_those_of_torch(
    settings: dict[str, Any], rectangular: LoadedBundle, photos: list[Path], tmp_path: Path
) -> None:
    parts = other(rectangular.record, settings)
    write_graphs(parts.network, parts.record, tmp_path)
    by_torch = parts.predictor(device=None, flips=True).predict(photos)
    by_onnx = open_predictor(tmp_path, parts.record, runner="onnx", flips=True).predict(photos)
    for found, expected in zip(by_onnx, by_torch, strict=True):
        assert found.label == expected.label and found.mask_classes == expected.mask_classes
        assert found.probability == pytest.approx(expected.probability, abs=1e-5)
        assert found.mask is not None and expected.mask is not None and len(np.unique(found.mask)) > 1
        assert found.mask.shape == expected.mask.shape and (found.mask == expected.mask).mean() > 0.999


def test_a_view_of_the_masks_of_another_size_has_its_own_graph(
    rectangular: LoadedBundle, photos: list[Path], tmp_path: Path
) -> None:
    parts = other(rectangular.record, {"data.fit": "pad", "data.zoom": 1.0, "data.size": 32})
    mask_data = parts.record.config.data.model_copy(update={"size": 48, "fit": "patch"})
    parts = LoadedBundle(parts.record.model_copy(update={"mask_data": mask_data}), parts.network, None)
    write_graphs(parts.network, parts.record, tmp_path)
    by_torch = parts.predictor(device=None, flips=False).predict(photos)
    for found, expected in zip(
        open_predictor(tmp_path, parts.record, runner="onnx").predict(photos), by_torch, strict=True
    ):
        assert found.probability == pytest.approx(expected.probability, abs=1e-5)
        assert (found.mask == expected.mask).mean() > 0.999


def test_logits_of_mask_probabilities_are_those_of_the_network() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32) * 4
    one = 1 / (1 + np.exp(-logits[:, :1]))
    np.testing.assert_allclose(mask_logits(one), logits[:, :1], atol=1e-2)
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = mask_logits(share)
    np.testing.assert_allclose(found - found[:, :1], logits - logits[:, :1], atol=1e-2)


def test_auto_runs_the_graphs_on_a_cpu_and_torch_where_it_must(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, record = small_bundle.path, read_record(small_bundle.path)

    def runner(changed: BundleRecord = record, **options: Any) -> type:
        return type(open_predictor(folder, changed, **options).runner)

    monkeypatch.setattr(open_predictor_file, "_GPU_DEVICES", (tmp_path / "nvidiactl",))
    assert runner() is runner(device="cpu") is OnnxRunner
    assert runner(pictures=("--heatmap",)) is runner(pictures=None) is TorchRunner
    assert runner(record.model_copy(update={"files": {}})) is TorchRunner
    (tmp_path / "nvidiactl").touch()
    assert runner() is TorchRunner and runner(device="cpu") is OnnxRunner
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert runner() is OnnxRunner


def test_what_only_torch_does_is_refused_in_one_line(rectangular: LoadedBundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--heatmap and --kept need torch"):
        open_predictor(tmp_path, rectangular.record, runner="onnx", pictures=("--heatmap", "--kept"))
    with pytest.raises(UsageError, match="device `cuda` needs torch"):
        open_predictor(tmp_path, rectangular.record, runner="onnx", device="cuda")


def test_heat_and_whole_images_of_earlier_graphs_are_refused(
    rectangular: LoadedBundle, photos: list[Path], tmp_path: Path
) -> None:
    write_graphs(rectangular.network, rectangular.record, tmp_path)
    predictor: ImagePredictor = open_predictor(tmp_path, rectangular.record, runner="onnx")
    with pytest.raises(UsageError, match="need torch: use the runner `torch`"):
        next(predictor.predict(photos, heat=True))
    whole = other(rectangular.record, {"data.fit": "whole", "data.zoom": 1.0})
    with pytest.raises(UsageError, match="of an earlier version, takes one size: use --runner torch"):
        OnnxRunner(tmp_path, whole.record)
