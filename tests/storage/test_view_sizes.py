"""A bundle whose network reads pictures that are not square: its card, its samples and its ONNX file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from venation.bundles.bundle import ONNX, BundleRecord
from venation.bundles.card import model_card
from venation.bundles.onnx_model import run_onnx, write_onnx
from venation.bundles.predict import LoadedBundle
from venation.bundles.verify import TOLERANCE, compare, write_samples
from venation.data.data_config import SplitConfig
from venation.data.images import read_image
from venation.errors import UserError
from venation.models.build import build_network
from venation.spaces.fields import set_fields
from venation.trials.trial_config import TrialConfig

SETTINGS = {"encoder.name": "test_resnet", "data.size": "32x80", "data.zoom": 1.25, "gate": "none"}


@pytest.fixture
def parts() -> LoadedBundle:
    torch.manual_seed(0)
    config = set_fields(TrialConfig(), SETTINGS | {"decoder.kind": "unet", "decoder.channels": 8})
    images = {"train": 3, "val": 3, "test": 3}
    record = BundleRecord(
        sources=(), config=config, classes=("ash", "elm"), metrics={}, images=images,
        data_fingerprint="", split=SplitConfig(), provenance={},
    )  # fmt: skip
    return LoadedBundle(record, build_network(config.network(2)).eval(), None)


def test_torch_onnx_and_the_samples_agree(parts: LoadedBundle, tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate([(400, 300), (300, 400), (20, 30)]):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_onnx(parts.network, parts.record.config, folder / ONNX)
    write_samples(parts, paths, folder)
    kept = [read_image(folder / "samples" / f"{number}.png").size for number in range(3)]
    assert kept == [(85, 64), (48, 64), (20, 30)]
    found = compare(folder, parts)
    assert found["samples"] == 3 and found["onnx_difference"] <= TOLERANCE
    with pytest.raises(UserError, match=r"Got: 80 Expected: 32"):
        run_onnx(folder / ONNX, torch.zeros(1, 3, 80, 32))


def test_the_card_says_which_side_is_which(parts: LoadedBundle) -> None:
    assert "with `test_resnet` at 32 x 80 pixels (height x width)." in model_card(parts.record)
